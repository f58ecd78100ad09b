"""The list of models in `models.txt`: ``python -m lightly_ultralytics.names > models.txt``.

The file lets `lightly models` answer without importing ultralytics.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from pathlib import Path

from lightly_ultralytics.description import read_config
from lightly_ultralytics.upstream import upstream

_FAMILY = re.compile(r"[a-z]+\d*")


def header() -> str:
    """Return the comment in the first line of the list."""
    return f"# ultralytics {upstream('ultralytics').__version__}"


def model_names() -> list[str]:
    """Return the names of all models of the installed ultralytics that can be pretrained."""
    return [*described_models(), *published_models()]


def newest_known() -> tuple[str, tuple[str, ...]]:
    """Return the version of ultralytics that `models.txt` was made with, and its models."""
    text = importlib.resources.files(__package__).joinpath("models.txt").read_text(encoding="utf-8")
    first, *names = text.splitlines()
    return first.removeprefix("# "), tuple(names)


@functools.cache
def described_models() -> tuple[str, ...]:
    """Return the ``.yaml`` files that come with ultralytics, once for each of their sizes."""
    root = Path(str(upstream("ultralytics").__file__)).parent / "cfg" / "models"
    names: list[str] = []
    for file in sorted(root.rglob("*.yaml")):
        # YOLO(...) recognises models that need a text prompt by these names.
        if "-world" in file.stem or "yoloe" in file.stem:
            continue
        config = read_config(file, str(file))
        # These fetch their weights from the network while they are built.
        if any(row[2] == "TorchVision" for row in config["backbone"]):
            continue
        names += [f"{stem}.yaml" for stem in _sizes(file.stem, list(config.get("scales") or ()))]
    return tuple(sorted(names))


def published_models() -> list[str]:
    """Return the ``.pt`` files with pretrained weights that ultralytics can download."""
    families = {_family(name) for name in described_models()}
    assets = upstream("ultralytics.utils.downloads").GITHUB_ASSETS_NAMES
    return sorted(
        name
        for name in assets
        if name.endswith(".pt") and _family(name) in families and "-world" not in name
    )


def _family(name: str) -> str:
    found = _FAMILY.match(name)
    return found.group() if found else ""


def _sizes(stem: str, scales: list[str]) -> list[str]:
    """Return the names by which the sizes of a description are called."""
    guess = upstream("ultralytics.nn.tasks").guess_model_scale
    if not scales or guess(stem):
        return [stem]
    named = [re.sub(r"^([a-z]+\d+)", rf"\g<1>{scale}", stem) for scale in scales]
    understood = all(guess(name) == scale for name, scale in zip(named, scales, strict=True))
    return named if understood else [stem]


if __name__ == "__main__":
    print("\n".join([header(), *model_names()]))
