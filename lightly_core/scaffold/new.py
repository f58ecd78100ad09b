"""Writes the package of a new plugin from the templates of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from attrs import define

from lightly_core.errors import ConfigError
from lightly_core.version import __version__

_RUN = "lightly run out=out/first data=builtin:digits epochs=1 transform_args.image_size=32"


@define(frozen=True)
class Kind:
    """What a new plugin provides.

    Attributes:
        what: How its description begins.
        command: A first command, with ``$name`` for the name of the plugin.
    """

    what: str
    command: str


KINDS = {
    "method": Kind("A pretraining method", f"{_RUN} model=torchvision/resnet18 method=$name"),
    "models": Kind("Models", f"{_RUN} model=$name/small method=simclr"),
    "transform": Kind(
        "An augmentation",
        f"{_RUN} model=torchvision/resnet18 method=simclr transform_args.name=$name",
    ),
    "logger": Kind(
        "A logger",
        f"{_RUN} model=torchvision/resnet18 method=simclr loggers.$name.file=metrics.csv",
    ),
    "export": Kind(
        "An export format",
        "lightly export model=torchvision/resnet18 out=model.$ending format=$name",
    ),
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "lightly-"
#: Ending of the templates, so that no tool takes them for code.
_ENDING = ".txt"
_ROOT = Path(__file__).with_name("templates")


def new_plugin(name: str, kind: str, out: Path | None = None) -> tuple[Path, list[Path]]:
    """Write a package that passes all checks, to be changed by its author.

    Args:
        name: Name of the plugin, and of what it provides: lower case letters, digits and hyphens.
        kind: One of `KINDS`.
        out: Folder to write, which must be new or empty. None: ``lightly-NAME`` in the working
            directory.

    Returns:
        The folder, and the files relative to it.

    Raises:
        ConfigError: The name or the kind is not valid, or the folder is not empty.
    """
    name = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name of a plugin: expected lower case letters, digits and hyphens such as "
            f"'my-method', got '{name}'"
        )
    if kind not in KINDS:
        raise ConfigError(f"kind of a plugin: expected one of {', '.join(KINDS)}, got '{kind}'")
    folder = Path(f"{_PREFIX}{name}") if out is None else out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"'{folder}' exists already and is not empty; choose another --out")
    values = _values(name, kind)
    written = []
    for place, text in _templates(kind):
        path = Path(Template(place).substitute(values))
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(text).substitute(values), encoding="utf-8")
        written.append(path)
    return folder, sorted(written)


def _values(name: str, kind: str) -> dict[str, str]:
    """Return what the templates insert."""
    major, minor, *_ = __version__.split(".")
    values = {
        "name": name,
        "distribution": f"{_PREFIX}{name}",
        "package": f"{_PREFIX}{name}".replace("-", "_"),
        "Name": "".join(part.capitalize() for part in name.split("-")),
        "ending": name.replace("-", ""),
        "what": KINDS[kind].what,
        "core": f"lightly-core>={major}.{minor},<{major}.{int(minor) + 1}",
    }
    about = (_ROOT / kind / "about.md").read_text(encoding="utf-8")
    texts = {"command": KINDS[kind].command, "about": about}
    return values | {key: Template(text).substitute(values) for key, text in texts.items()}


def _templates(kind: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of the templates that all kinds have in common, and of those of a kind.

    In the name of a folder braces stand for a value, and ``dot_`` for a dot.
    """
    for root in (_ROOT / "common", _ROOT / kind):
        for file in sorted(root.rglob(f"*{_ENDING}")):
            place = file.relative_to(root).as_posix().removesuffix(_ENDING)
            place = place.replace("{", "${").replace("dot_", ".")
            yield place, file.read_text(encoding="utf-8")
