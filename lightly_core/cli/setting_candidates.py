"""Finds the names and values of settings that may follow on a command line."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import Attribute, frozen

from lightly_core.cli.candidates import SETTINGS, Candidate, catalog, methods, models, paths
from lightly_core.config.options.checks import OneOf
from lightly_core.config.options.fields import (
    aliases,
    default_of,
    group_class,
    settings_fields,
    union_members,
    words_of,
)
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.optim import OPTIMIZERS
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.transform import DEFAULT_TRANSFORM, TransformArgs
from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.config.reading.toml_text import flat_settings
from lightly_core.errors import ConfigError
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.records import ConfiguredRecord, Kind

#: Settings whose values are files or folders.
_FILES = ("checkpoint", "data", "labels", "out", "train", "val", "val_data", "val_labels")
#: Settings of commands that open a finished network: a run folder and a file are models too.
_NETWORKS = ("embed", "evaluate", "export")


@frozen
class _Given:
    """What the command line says so far.

    Attributes:
        command: The command.
        values: Texts of the settings, by their full names, also those of a file.
        typed: Full names of those on the command line.
    """

    command: str
    values: Mapping[str, str]
    typed: frozenset[str]

    def value(self, cls: type, name: str) -> str:
        """Return the text of a setting, or its default."""
        default = next((default_of(f) for f in settings_fields(cls) if f.name == name), "")
        return self.values.get(name, str(default))


def setting_candidates(command: str, words: Sequence[str], current: str) -> list[Candidate]:
    """Return the settings, or after an equals sign the values, that begin with a word.

    Args:
        command: The command.
        words: The words between the command and the current one.
        current: The current word up to the cursor.
    """
    given = _read_words(command, words)
    key, equals, value = current.partition("=")
    *groups, name = key.split(".")
    options = _options(given, groups)
    if equals:
        named = [option for option in options if name in (option.name, *option.other_names)]
        return list(_values(named[0], given, key, value)) if named else []
    above = "".join(f"{group}." for group in groups)
    found = [
        option
        for option in options
        if option.name.startswith(name) and f"{above}{option.name}" not in given.typed
    ]
    return [
        Candidate(f"{above}{one.name}{'.' if one.is_group else '='}", one.help, is_whole=False)
        for one in found
    ]


# --------------------------------------------------------------------------- names


@frozen
class _Option:
    """One setting of a group.

    Attributes:
        name: Its name in the group.
        help: One line about it.
        is_group: Whether it has settings of its own.
        other_names: Further names.
        owner: Option class that has it; None: it is an entry of `loggers`.
        field: Field of that class.
    """

    name: str
    help: str
    is_group: bool
    other_names: tuple[str, ...] = ()
    owner: type | None = None
    field: Attribute[Any] | None = None


def _options(given: _Given, groups: Sequence[str]) -> list[_Option]:
    """Return the settings of a group. Empty: there is no such group."""
    if given.command == "send":
        return _loggers(groups[1:]) if groups[:1] == ["loggers"] else _only_loggers(groups)
    module, _, name = SETTINGS[given.command].partition(":")
    cls: type = getattr(importlib.import_module(module), name)
    for depth, group in enumerate(groups):
        if cls is RunConfig and group == "loggers":
            return _loggers(groups[depth + 1 :])
        member = _member(cls, group, given)
        if member is None:
            return []
        cls = member
    return [_option(field, cls) for field in settings_fields(cls) if not _is_old(field)]


def _only_loggers(groups: Sequence[str]) -> list[_Option]:
    return [] if groups else [_Option("loggers", "options of the loggers", is_group=True)]


def _option(field: Attribute[Any], cls: type) -> _Option:
    is_group = group_class(field.type) is not None or (cls.__name__, field.name) in _DEPENDENT
    text = str(field.metadata.get("help", ""))
    return _Option(field.name, text, is_group, aliases(field), cls, field)


def _is_old(field: Attribute[Any]) -> bool:
    return str(field.metadata.get("help", "")).startswith("deprecated")


def _loggers(groups: Sequence[str]) -> list[_Option]:
    records = catalog().records("logger")
    if not groups:
        return [_Option(record.name, record.summary, is_group=True) for record in records]
    found = [record for record in records if record.name == groups[0]]
    if len(groups) > 1 or not found or not isinstance(found[0], ConfiguredRecord):
        return []
    cls = load_config(found[0])
    return [_option(field, cls) for field in settings_fields(cls)]


def _member(cls: type, name: str, given: _Given) -> type | None:
    """Return the option class of a group."""
    if (cls.__name__, name) in _DEPENDENT:
        return _DEPENDENT[cls.__name__, name](given)
    for field in settings_fields(cls):
        if name in (field.name, *aliases(field)):
            return group_class(field.type)
    return None


def _method(given: _Given) -> type[MethodConfig]:
    config = load_config(catalog().get("method", given.value(RunConfig, "method")))
    return config if issubclass(config, MethodConfig) else MethodConfig


def _optimizer(given: _Given) -> type:
    name = given.value(RunConfig, "optim")
    config = _method(given)
    return type(config.default_optimizer(name if name in OPTIMIZERS else config.optimizer))


def _transform(given: _Given) -> type:
    name = given.values.get("transform_args.name", DEFAULT_TRANSFORM)
    if name == DEFAULT_TRANSFORM:
        return type(_method(given).default_transform())
    return load_config(catalog().get("transform", name))


def _launcher(given: _Given) -> type:
    from lightly_core.config.options.suite import SuiteConfig

    return load_config(catalog().get("launcher", given.value(SuiteConfig, "launcher")))


def _callbacks(given: _Given) -> type:
    from lightly_core.config.options.callbacks import CallbacksArgs

    return CallbacksArgs


def _evaluation(given: _Given) -> type:
    from lightly_core.config.options.evaluate import EvaluateConfig

    return EvaluateConfig


#: Groups whose option class is not in the annotation of the field, by the name of the class that
#: has the field. Classes of other commands are not imported.
_DEPENDENT: dict[tuple[str, str], Callable[[_Given], type]] = {
    ("RunConfig", "callbacks"): _callbacks,
    ("RunConfig", "loggers"): lambda given: RunConfig,  # see `_loggers`
    ("RunConfig", "method_args"): _method,
    ("RunConfig", "optim_args"): _optimizer,
    ("RunConfig", "transform_args"): _transform,
    ("SuiteConfig", "evaluate"): _evaluation,
    ("SuiteConfig", "launcher_args"): _launcher,
    ("SuiteConfig", "run"): lambda given: RunConfig,
}


# --------------------------------------------------------------------------- values


def _values(option: _Option, given: _Given, key: str, value: str) -> Iterator[Candidate]:
    before = f"{key}="
    for word in _words(option):
        if word.startswith(value):
            yield Candidate(before + word)
    for candidate in _names(option, given, value):
        if candidate.text.startswith(value):
            yield Candidate(before + candidate.text, candidate.help, candidate.is_whole)
    field = option.field
    if field is None:
        return
    is_network = option.name == "model" and given.command in _NETWORKS
    if option.name in _FILES or is_network or {"file", "folder"} & field.metadata.keys():
        yield from paths(value, before)


def _words(option: _Option) -> list[str]:
    """Return the fixed words among the values of a setting."""
    if option.field is None:
        return ["true", "false"]  # a logger
    annotation = option.field.type
    members = union_members(annotation)
    words = [_as_typed(word) for word in words_of(annotation)]
    words += [word for word in _checked(option.field.validator) if word not in words]
    if bool in members or (option.is_group and types.NoneType in members):
        words += ["true", "false"]
    elif types.NoneType in members and "none" not in words:
        words.append("none")
    if option.name in ("data", "train"):
        words.append("builtin:digits")
    return words


def _as_typed(word: object) -> str:
    return str(word).lower() if isinstance(word, bool) else str(word)


def _checked(validator: object) -> Iterable[str]:
    """Return the words that a validator accepts, if it accepts these only."""
    inner = getattr(validator, "validator", validator)  # of `optional`
    return inner.words if isinstance(inner, OneOf) else ()


def _names(option: _Option, given: _Given, value: str) -> Iterable[Candidate]:
    """Return the names of methods, models and so on among the values of a setting."""
    field = option.field
    if field is None:
        return []
    if option.name == "method":
        return methods()
    if option.name == "model" or field.metadata.get("model"):
        return models(value)
    kinds: dict[str, Kind] = {"launcher": "launcher"}
    if given.command == "export":
        kinds["format"] = "format"
    if option.owner is not None and issubclass(option.owner, TransformArgs):
        kinds["name"] = "transform"
    if option.name not in kinds:
        return []
    records = catalog().records(kinds[option.name])
    known = [Candidate(record.name, record.summary) for record in records]
    return [*known, Candidate(DEFAULT_TRANSFORM)] if option.name == "name" else known


def _read_words(command: str, words: Sequence[str]) -> _Given:
    """Return the settings of the words, and those of the file that they name."""
    typed: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and not word.startswith("-"):
            typed[key] = value
    return _Given(command, {**_of_file(words), **typed}, frozenset(typed))


def _of_file(words: Sequence[str]) -> dict[str, str]:
    """Return the texts in the file of ``--config``, such as the name of the method."""
    if "--config" not in words[:-1]:
        return {}
    try:
        settings = read_toml(words[words.index("--config") + 1])
    except ConfigError:
        return {}
    found = flat_settings(settings)
    return {".".join(name): value for name, value in found if isinstance(value, str)}
