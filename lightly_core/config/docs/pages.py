"""Pages and signatures, made from the option classes: nothing is written twice.

``python -m lightly_core.config.docs`` writes `config/docs/signature.py`, `docs/settings.md`,
`docs/methods.md` and `docs/method-settings.md`. With ``--check`` it writes nothing, names the files
that are out of date, and exits with 1 if there are any.
"""

from __future__ import annotations

import inspect
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from attrs import NOTHING

from lightly_core.config.docs.method_settings import method_settings_page
from lightly_core.config.docs.method_table import methods_page
from lightly_core.config.docs.tables import class_table
from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.fields import group_class, settings_fields
from lightly_core.config.options.optim import OPTIMIZERS
from lightly_core.config.options.settings import JsonlArgs, RunConfig, TensorBoardArgs
from lightly_core.config.options.transform import MultiCropTransformArgs

_ROOT = Path(__file__).parents[3]

#: Types that Python callers may use beside those that text can express.
_WIDER = {
    "out": "str | Path",
    "data": "str | Path | Sequence[str | Path] | Dataset[Any]",
    "val_data": "str | Path | Sequence[str | Path] | Dataset[Any] | None",
    "model": "str | Path | nn.Module",
    "checkpoint": "str | Path | None",
    "devices": "int | str | Sequence[int]",
    "accelerator": "str | Accelerator",
    "strategy": "str | Strategy",
    "activation_checkpoint_args": "Mapping[str, Any] | None",
    "image_size": "int | tuple[int, int] | None",
    "value_range": "Sequence[float] | None",
    "labels": "str | Path | None",
    "val_labels": "str | Path | None",
}

#: Settings that are wider only where the option class takes an object of Python.
_OBJECTS = ("accelerator", "strategy")

_SIGNATURE_HEAD = '''\
"""Types of the arguments of the functions in `lightly_core`, for editors and type checkers.

Made by ``python -m lightly_core.config.docs``; change the option classes instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, Literal

    from lightning.pytorch.accelerators import Accelerator
    from lightning.pytorch.strategies import Strategy
    from torch import nn
    from torch.utils.data import Dataset
    from typing_extensions import Required

    from lightly_core.config.options.settings import Precision
'''

#: Option class by name of the type that its settings have in Python, and what they are of.
_TYPED = {
    "RunSettings": (RunConfig, "a run"),
    "EmbedSettings": (EmbedConfig, "`lightly_core.embed`"),
    "EvaluateSettings": (EvaluateConfig, "`lightly_core.evaluate`"),
}

_PAGE_HEAD = """# Settings

Made from the option classes by `python -m lightly_core.config.docs`; do not edit this page.

All settings are given in Python as arguments of `lightly_core.pretrain`, on the command line as
`key=value`, or in a TOML file (`lightly run --config run.toml`). Python arguments overrule pairs,
pairs overrule the file, and the file overrules the defaults. Names with dots stand for nested
dictionaries: `transform_args.random_flip.vertical_prob=0.5`. A group is switched off with `None`
in Python, `none` or `false` on the command line, and `false` in TOML. What "auto" means is in
[running.md](running.md).

"""


# --------------------------------------------------------------------------- Python


def signature_of(cls: type) -> inspect.Signature:
    """Return the signature of a function that takes the settings of a class, keyword-only."""
    return inspect.Signature(
        [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is NOTHING else field.default,
                annotation=_python_type(cls, field.name),
            )
            for field in settings_fields(cls)
        ]
    )


def typed_dict_source() -> str:
    """Return the source of `signature.py`."""
    return _SIGNATURE_HEAD + "".join(
        _typed_dict(name, cls, what) for name, (cls, what) in _TYPED.items()
    )


def _typed_dict(name: str, cls: type, what: str) -> str:
    lines = [
        f"\n\nclass {name}(TypedDict, total=False):\n",
        f'    """The settings of {what}, by name."""\n\n',
    ]
    for field in settings_fields(cls):
        text = _python_type(cls, field.name)
        lines.append(
            f"    {field.name}: {f'Required[{text}]' if field.default is NOTHING else text}\n"
        )
    return "".join(lines)


def _python_type(cls: type, name: str) -> str:
    annotations = {
        key: str(text)
        for base in reversed(cls.__mro__)
        for key, text in getattr(base, "__annotations__", {}).items()
    }
    text = annotations[name]
    if name in _WIDER and (name not in _OBJECTS or "PythonObject" in text):
        wider = _WIDER[name]
        return f"{wider} | None" if text.endswith("| None") and "None" not in wider else wider
    if cls is not RunConfig and group_class(attrs.fields_dict(cls)[name].type) is not None:
        return "Mapping[str, Any] | bool | None"
    text = text.replace("'", '"').replace("dict[", "Mapping[")
    return text.replace("tuple[", "Sequence[").replace(", ...]", "]")


# --------------------------------------------------------------------------- files


def settings_page() -> str:
    """Return `docs/settings.md`."""
    parts: list[tuple[str, str, type, str]] = [
        ("All settings", "", RunConfig, ""),
        (
            "`transform_args`",
            "These are the keys and the defaults of a method that sets none of its own. "
            "[method-settings.md](method-settings.md) lists what differs for each method. "
            "`global_view_1` and `local_view` exist for methods that use several crops.",
            MultiCropTransformArgs,
            "transform_args",
        ),
        *(
            (
                f"`optim_args` of `{name}`",
                "A method may have other defaults, see [method-settings.md](method-settings.md).",
                cls,
                "optim_args",
            )
            for name, cls in OPTIMIZERS.items()
        ),
        ("`callbacks`", "", CallbacksArgs, "callbacks"),
        ("`loggers`: `jsonl`", "It is always on and has no settings.", JsonlArgs, ""),
        ("`loggers`: `tensorboard`", "On by default.", TensorBoardArgs, "loggers.tensorboard"),
        ("Settings of `lightly embed`", "Arguments of `lightly_core.embed`.", EmbedConfig, ""),
        (
            "Settings of `lightly evaluate`",
            "Arguments of `lightly_core.evaluate`. Each protocol is a group that is switched on "
            "with `true` and off with `false`.",
            EvaluateConfig,
            "",
        ),
    ]
    sections = []
    for title, text, cls, prefix in parts:
        table = class_table(cls, prefix) if settings_fields(cls) else ""
        sections.append("\n\n".join(part for part in (f"## {title}", text, table) if part))
    return _PAGE_HEAD + "\n\n".join(sections) + "\n"


def generated_files(root: Path) -> Mapping[Path, str]:
    """Return the text of each generated file of a source checkout.

    Args:
        root: Folder of the checkout. Measured costs are read from its `docs/method-costs.csv`.
    """
    docs = root / "docs"
    return {
        root / "lightly_core" / "config" / "docs" / "signature.py": typed_dict_source(),
        docs / "settings.md": settings_page(),
        docs / "methods.md": methods_page(docs / "method-costs.csv"),
        docs / "method-settings.md": method_settings_page(),
    }


def main(arguments: Sequence[str] | None = None, root: Path = _ROOT) -> int:
    """Write the generated files of a source checkout, or check them.

    Args:
        arguments: ``--check`` or nothing; None: the arguments of this process.
        root: Folder of the checkout.

    Returns:
        1 if ``--check`` found a file that is out of date, else 0.
    """
    parser = ArgumentParser(prog="python -m lightly_core.config.docs")
    parser.add_argument("--check", action="store_true", help="write nothing, name stale files")
    check = parser.parse_args(arguments).check
    stale = {
        file: text
        for file, text in generated_files(root).items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    }
    for file, text in stale.items():
        if check:
            print(f"{file.relative_to(root).as_posix()} is out of date")
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if check and stale:
        print("run `python -m lightly_core.config.docs`")
    return int(check and bool(stale))
