"""Writes resolved settings as a TOML file that `lightly run --config` reads."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.fields import (
    Annotation,
    Plain,
    default_of,
    group_class,
    settings_fields,
    union_members,
)
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.reading.load import DEFAULT_LOGGERS
from lightly_core.config.reading.toml_text import toml_text
from lightly_core.errors import ConfigError
from lightly_core.version import __version__

_HEADER = f"""\
# Settings of a run without "auto". Written by lightly run --dry-run --toml of lightly-core
# {__version__}. To start the run: lightly run --config FILE
# accelerator, devices, num_nodes, strategy, precision and num_workers are those of this machine.
"""
_PRIVATE = "# Keep this file private: an address in it has a password, a key or a query.\n"
#: Stands for a setting that is left out, as its default is None.
_LEFT_OUT = object()


def settings_file(resolved: Resolved) -> str:
    """Return the TOML text of all settings of a run.

    `lightly run --config` resolves it to the same settings on the same machine. What may differ:
    the reasons for `in_memory`, `recipe` and `epochs`, and whether the seed was random.

    Args:
        resolved: Settings without "auto".

    Raises:
        ConfigError: A setting cannot be written as TOML, such as a Python object.
    """
    values: dict[str, Plain] = {}
    problems: list[str] = []
    for name, value, annotation in _settings(resolved):
        found = _written(value, annotation, f"config.{name}", problems)
        if found is not _LEFT_OUT:
            values[name] = found
    if problems:
        raise ConfigError.of(problems)
    private = "" if without_secrets(values) == values else _PRIVATE
    return f"{_HEADER}{private}\n{toml_text(values)}"


def _settings(resolved: Resolved) -> Iterator[tuple[str, object, Annotation]]:
    """Yield name, value and type of each setting, with complete groups."""
    off: dict[str, Any] = dict.fromkeys(DEFAULT_LOGGERS, False)
    memory = resolved.memory
    replaced: dict[str, object] = {
        "method_args": resolved.method,
        "transform_args": resolved.transform,
        "optim_args": resolved.optimizer,
        "callbacks": resolved.callbacks,
        "loggers": {**off, **resolved.loggers},
        # With "auto" a run decodes images in each epoch if one does not fit, with true it ends.
        "in_memory": "auto" if memory.use and not memory.required else memory.use,
    }
    for field in settings_fields(RunConfig):
        value = replaced.get(field.name, getattr(resolved.run, field.name))
        yield field.name, value, Any if isinstance(value, Mapping) else field.type


def _written(value: object, annotation: Annotation, path: str, problems: list[str]) -> Plain:
    """Return a value as `structure` reads it back from TOML."""
    if value is None:
        return _none(annotation, path, problems)
    if isinstance(value, str):
        return _text(value, path, problems)
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        members = [
            (_text(key, path, problems), _written(member, Any, f"{path}.{key}", problems))
            for key, member in value.items()
        ]
        return dict(members)
    if isinstance(value, (list, tuple)):
        return [_written(item, Any, f"{path}[{i}]", problems) for i, item in enumerate(value)]
    if attrs.has(type(value)) and not isinstance(value, PythonObject):
        return _group(value, path, problems)
    problems.append(
        f"{path}: got {value if isinstance(value, PythonObject) else type(value).__name__}, which "
        "a TOML file cannot hold; use --dry-run --json to see all settings"
    )
    return ""


def _group(group: object, path: str, problems: list[str]) -> dict[str, Plain]:
    values = {}
    for field in settings_fields(type(group)):
        value = getattr(group, field.name)
        if value is None and default_of(field) is None and str in union_members(field.type):
            continue
        values[field.name] = _written(value, field.type, f"{path}.{field.name}", problems)
    return values


def _none(annotation: Annotation, path: str, problems: list[str]) -> object:
    """Return the text that `structure` reads as None, since TOML has no null."""
    members = union_members(annotation)
    if path.count(".") == 1:
        return _LEFT_OUT  # a setting of the run, whose default is None
    if group_class(annotation) is not None:
        return False
    if types.NoneType in members and str not in members:
        return "none"
    problems.append(
        f"{path}: got None, which a TOML file cannot hold; remove the setting for --toml, and give "
        f"{path.removeprefix('config.')}=none on the command line of the run"
    )
    return ""


def _text(value: str, path: str, problems: list[str]) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        problems.append(
            f"{path}: {value!r} has bytes that are not valid text, which a TOML file cannot hold; "
            "rename the file or folder, or give the setting on the command line of the run"
        )
        return ""
    return value
