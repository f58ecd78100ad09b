"""Help texts, tables and signatures, made from the option classes: nothing is written twice.

``python -m lightly_core.config.docs`` rewrites `signature.py`, `docs/settings.md` and
`docs/methods.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from attrs import NOTHING, Attribute, define

from lightly_core.config.callbacks import CallbacksArgs
from lightly_core.config.embed import EmbedConfig
from lightly_core.config.evaluate import EvaluateConfig
from lightly_core.config.fields import (
    NO_DEFAULT,
    aliases,
    default_of,
    group_class,
    is_group,
    settings_fields,
    type_name,
)
from lightly_core.config.method_table import methods_page
from lightly_core.config.optim import OPTIMIZERS
from lightly_core.config.settings import JsonlArgs, RunConfig, TensorBoardArgs
from lightly_core.config.transform import MultiCropTransformArgs

_HERE = Path(__file__).parent
_REQUIRED = "required"

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

    from lightly_core.config.settings import Precision
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


@define(frozen=True)
class _Row:
    """One setting in words."""

    name: str
    type: str
    default: str
    help: str


# --------------------------------------------------------------------------- texts


def settings_help() -> str:
    """Return the help of all settings, for the terminal."""
    return class_help(RunConfig)


def class_help(cls_or_instance: object, prefix: str = "") -> str:
    """Return the help of an option class, nested groups expanded, for the terminal.

    Args:
        cls_or_instance: Option class; or an instance, whose values are shown as the defaults.
        prefix: Put before each name, for example ``method_args``.
    """
    lines = []
    for row in _rows(cls_or_instance, prefix):
        default = row.default if row.default == _REQUIRED else f"default {row.default}"
        lines.append(f"  {row.name} ({row.type}{f', {default}' if row.default else ''})")
        lines.append(f"      {row.help}")
    return "\n".join(lines)


def class_table(cls_or_instance: object, prefix: str = "") -> str:
    """Return the Markdown table of an option class; arguments as in `class_help`."""
    lines = ["| Name | Type | Default | Description |", "|---|---|---|---|"]
    for row in _rows(cls_or_instance, prefix):
        default = row.default if row.default in ("", _REQUIRED) else f"`{row.default}`"
        cells = (f"`{row.name}`", row.type, default, row.help)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _rows(cls_or_instance: object, prefix: str) -> Iterator[_Row]:
    cls = cls_or_instance if isinstance(cls_or_instance, type) else type(cls_or_instance)
    for field in settings_fields(cls):
        name = f"{prefix}.{field.name}" if prefix else field.name
        if cls_or_instance is cls:
            value = default_of(field)
        else:
            value = getattr(cls_or_instance, field.name)
        group = group_class(field.type)
        yield _Row(name, type_name(field.type), _default(field, value), _help(field))
        if group is not None:
            yield from _rows(value if isinstance(value, group) else group, name)


def _help(field: Attribute[Any]) -> str:
    others = aliases(field)
    text = str(field.metadata.get("help", ""))
    return f"{text}; other names: {', '.join(others)}" if others else text


def _default(field: Attribute[Any], value: object) -> str:
    if value is NO_DEFAULT:
        return _REQUIRED
    if group_class(field.type) is None:
        return _shown(value)
    if is_group(field.type):
        return ""  # its members follow, and it cannot be switched off
    if isinstance(value, str):
        return value
    return "off" if value is None else "on"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_shown(member) for member in value)}]"
    return '""' if value == "" else str(value)


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
            "These are the keys and the defaults of a method that sets none of its own; "
            "`lightly run method=NAME --help` shows those of a method. `global_view_1` and "
            "`local_view` exist for methods that use several crops.",
            MultiCropTransformArgs,
            "transform_args",
        ),
        *(
            (
                f"`optim_args` of `{name}`",
                "A method may have other defaults; `lightly run method=NAME --help` shows them.",
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


def main() -> None:
    """Write the generated files of a source checkout."""
    (_HERE / "signature.py").write_text(typed_dict_source(), encoding="utf-8")
    folder = _HERE.parents[1] / "docs"
    folder.mkdir(exist_ok=True)
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    page = methods_page(folder / "method-costs.csv")
    (folder / "methods.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
