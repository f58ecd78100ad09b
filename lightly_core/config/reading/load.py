"""Reads and checks the settings of a run. One error names all mistakes. No heavy imports."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.config.options.fields import (
    aliases,
    any_of,
    default_of,
    settings_fields,
    value_name,
)
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.optim import OPTIMIZERS, OptimizerArgs
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.transform import TransformArgs
from lightly_core.config.reading.foreign_args import COMBINATIONS
from lightly_core.config.reading.groups import (
    MethodGroups,
    optimizer_name,
    read_group,
    read_method_groups,
)
from lightly_core.config.reading.merging import Layers
from lightly_core.config.reading.owned_keys import owned_keys
from lightly_core.config.reading.problems import Problems
from lightly_core.config.reading.recipes import Defaults, chosen_defaults
from lightly_core.config.reading.references import misplaced_files, model_names
from lightly_core.config.reading.requeue import after_requeue, requeue_problems
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_config
from lightly_core.plugins.published import distribution_of
from lightly_core.plugins.records import LoggerRecord, MethodRecord, ModelsRecord, TransformRecord

#: Loggers that are on by default.
DEFAULT_LOGGERS = ("jsonl", "tensorboard")


@define(frozen=True, kw_only=True)
class Settings:
    """Checked settings that may still contain "auto"; `resolve` replaces it.

    Attributes:
        run: The settings. The groups in it hold only what was given.
        method_record: Record of the method.
        method: Options of the method, complete.
        transform: Options of the augmentation, complete.
        transform_record: Record of the transform; None: the built-in one.
        optimizer_name: Name of the optimizer, never "auto".
        optimizer: Options of optimizer and schedule, complete.
        callbacks: Options of the callbacks, complete.
        loggers: Options of the loggers that are on, by name.
        logger_records: Records of these loggers, by name.
        model_record: Record of the model's library; None: a Python object.
        model_name: Name of the model in its library; None: a Python object.
        short: What `resolve` uses instead in a short run; None: the same as in a long one.
        layers: The settings as they were given, to name in later errors where that was.
    """

    run: RunConfig
    method_record: MethodRecord
    method: MethodConfig
    transform: TransformArgs
    optimizer_name: str
    optimizer: OptimizerArgs
    callbacks: CallbacksArgs
    loggers: dict[str, object]
    logger_records: dict[str, LoggerRecord]
    transform_record: TransformRecord | None = None
    model_record: ModelsRecord | None = None
    model_name: str | None = None
    short: MethodGroups | None = None
    layers: Layers = field(factory=Layers, repr=False, eq=False)


def load_settings(
    *,
    catalog: Catalog,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    checks: Sequence[Callable[[RunConfig], Sequence[str]]] = (),
    check_files: bool = False,
) -> Settings:
    """Read, merge and check the settings of a run.

    The file overrides the defaults, ``key=value`` pairs override the file, and Python arguments
    override pairs. Groups are merged key by key.

    Args:
        catalog: Records of all plugins.
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
        checks: Functions that check the settings and return further problems.
        check_files: Whether files that settings refer to must exist.

    Raises:
        ConfigError: The settings are wrong. `problems` has one entry for each mistake.
        PluginError: The only mistake is a method, model or logger whose plugin cannot be used.
    """
    layers = Layers(config_file, pairs, arguments)
    problems = Problems()
    method_record, config_cls = _method(catalog, layers, problems)
    defaults, short = _defaults(layers, method_record, config_cls, problems)
    run = _run_config(layers, defaults, checks, problems)
    groups = read_method_groups(catalog, layers, method_record, defaults, problems)
    _references(catalog, run, groups, check_files, problems)
    callbacks = read_group(layers, "callbacks", CallbacksArgs, None, problems)
    logger_records, loggers = _loggers(catalog, layers, problems)
    model_record, model_name = _model(catalog, layers, problems)
    problems.raise_all(layers)
    # Without a problem, all of these exist.
    assert run is not None
    assert method_record is not None
    assert groups is not None
    assert callbacks is not None
    if method_record.alias_of is not None:
        run = evolve(run, method=method_record.alias_of)
    return Settings(
        run=run,
        method_record=method_record,
        method=groups.method,
        transform=groups.transform,
        transform_record=groups.transform_record,
        optimizer_name=groups.optimizer_name,
        optimizer=groups.optimizer,
        callbacks=callbacks,
        loggers=loggers,
        logger_records=logger_records,
        model_record=model_record,
        model_name=model_name,
        short=None if short is None else _short(catalog, layers, method_record, short),
        layers=layers,
    )


# --------------------------------------------------------------------------- run settings


def _run_config(
    layers: Layers,
    defaults: Defaults,
    checks: Sequence[Callable[[RunConfig], Sequence[str]]],
    problems: Problems,
) -> RunConfig | None:
    given = layers.merged(RunConfig)
    for key, places in _misplaced(given, layers, defaults).items():
        del given[key]
        problems.add(f"config: unknown key '{key}', did you mean {places}?")
    run = problems.attempt(lambda: structure(given, RunConfig, path="config"))
    if run is None:
        readable = _readable_part(given)
        if readable is not None:
            problems.add(*(line for check in checks for line in check(readable)))
        return None
    if run.resume is not None:
        renamed = functools.partial(_without_resume, run, "resume_interrupted" in given)
        run = problems.attempt(renamed)
        if run is None:
            return None
    run = after_requeue(run)
    all_checks = (_contradictions, owned_keys, requeue_problems, *COMBINATIONS, *checks)
    problems.add(*(line for check in all_checks for line in check(run)))
    return run


def _readable_part(given: Mapping[str, object]) -> RunConfig | None:
    """Return the valid settings, so that one error names the further problems with these too."""

    def attempt(settings: Mapping[str, object]) -> RunConfig | None:
        try:
            return structure(settings, RunConfig, path="config")
        except ConfigError:
            return None

    kept = {key: given[key] for key in ("out", "data", "model") if key in given}
    for key, value in given.items():
        if attempt({**kept, key: value}) is not None:
            kept[key] = value
    return attempt(kept)


def _without_resume(run: RunConfig, new_name_given: bool) -> RunConfig:
    warnings.warn(
        "the setting 'resume' is deprecated, use 'resume_interrupted'", FutureWarning, stacklevel=2
    )
    if new_name_given and run.resume is not run.resume_interrupted:
        raise ConfigError(
            f"config.resume: it is the old name of 'resume_interrupted', but got resume="
            f"{run.resume} and resume_interrupted={run.resume_interrupted}; give only "
            "resume_interrupted"
        )
    return evolve(run, resume=None, resume_interrupted=bool(run.resume))


def _contradictions(run: RunConfig) -> Iterator[str]:
    if run.resume_interrupted and run.checkpoint is not None:
        yield (
            "config.checkpoint: a resumed run continues from its own checkpoint; give either "
            "checkpoint (new run from its weights) or resume_interrupted (same run continues)"
        )
    if run.resume_interrupted and run.overwrite:
        yield (
            "config.overwrite: it would delete the run that resume_interrupted continues; give "
            "only one of the two"
        )


def _misplaced(given: Mapping[str, Any], layers: Layers, defaults: Defaults) -> dict[str, str]:
    """Return the full names of keys that belong to a group, by key."""
    known = {field.name for field in settings_fields(RunConfig)}
    optimizer = optimizer_name(layers, defaults)
    groups = {
        "method_args": defaults.config_cls,
        "optim_args": None if optimizer is None else OPTIMIZERS[optimizer],
        "transform_args": type(defaults.views(layers)),
        "callbacks": CallbacksArgs,
    }
    found = {}
    for key in given.keys() - known:
        places = [
            f"'{group}.{key}'"
            for group, cls in groups.items()
            for field in (settings_fields(cls) if cls is not None else ())
            if key in (field.name, *aliases(field))
        ]
        if places:
            found[key] = any_of(places)
    return dict(sorted(found.items()))


# --------------------------------------------------------------------------- groups


def _method(
    catalog: Catalog, layers: Layers, problems: Problems
) -> tuple[MethodRecord | None, type[MethodConfig] | None]:
    fields = {field.name: field for field in settings_fields(RunConfig)}
    name = layers.merged(RunConfig).get("method", default_of(fields["method"]))
    if not isinstance(name, str):
        return None, None  # `_run_config` reports the type
    record = problems.attempt(lambda: catalog.get("method", name), at="config.method")
    if record is None:
        return None, None
    return record, problems.attempt(lambda: load_config(record), at="config.method")


def _defaults(
    layers: Layers,
    record: MethodRecord | None,
    config_cls: type[MethodConfig] | None,
    problems: Problems,
) -> tuple[Defaults, Defaults | None]:
    """Return what the method sets, and what it sets in short runs."""
    unknown = Defaults(config_cls or MethodConfig)
    if record is None or config_cls is None:
        return unknown, None
    found = problems.attempt(lambda: chosen_defaults(layers, config_cls, record.name))
    return found or (unknown, None)


def _short(
    catalog: Catalog, layers: Layers, record: MethodRecord, short: Defaults
) -> MethodGroups | None:
    """Return the groups of short runs; None: some of the user's settings do not fit them."""
    problems = Problems()
    groups = read_method_groups(catalog, layers, record, short, problems)
    return None if problems else groups


def _references(
    catalog: Catalog,
    run: RunConfig | None,
    groups: MethodGroups | None,
    check_files: bool,
    problems: Problems,
) -> None:
    """Check that the files and models that settings refer to exist."""
    method = None if groups is None else groups.method
    for settings, path in ((run, "config"), (method, "config.method_args")):
        problems.add(*(misplaced_files(settings, path) if check_files else ()))
        for name, model in model_names(settings):
            find = functools.partial(catalog.model, model)
            problems.attempt(find, at=f"{path}.{name}")


def _logger_record(catalog: Catalog, name: str) -> LoggerRecord:
    return catalog.get("logger", name)


def _loggers(
    catalog: Catalog, layers: Layers, problems: Problems
) -> tuple[dict[str, LoggerRecord], dict[str, object]]:
    given: dict[str, Any] = dict.fromkeys(DEFAULT_LOGGERS, True)
    given.update(layers.merged_group("loggers", None))
    if given["jsonl"] in (None, False):
        warnings.warn("the logger 'jsonl' is always on, it cannot be switched off", stacklevel=3)
        given["jsonl"] = True
    records: dict[str, LoggerRecord] = {}
    loggers: dict[str, object] = {}
    for name, options in given.items():
        path = f"config.loggers.{name}"
        if options in (None, False) and distribution_of("logger", name) is not None:
            continue  # its plugin need not be installed
        # An unknown name is a mistake even if the logger is switched off.
        record = problems.attempt(functools.partial(_logger_record, catalog, name), at=path)
        if record is None or options is None or options is False:
            continue
        cls = problems.attempt(functools.partial(load_config, record), at=path)
        options = {} if options is True else options
        if not isinstance(options, Mapping):
            problems.add(f"{path}: expected dict, true, false or None, got {value_name(options)}")
        elif cls is not None:
            make = functools.partial(structure, options, cls, path=path)
            records[name], loggers[name] = record, problems.attempt(make)
    return records, loggers


def _model(
    catalog: Catalog, layers: Layers, problems: Problems
) -> tuple[ModelsRecord | None, str | None]:
    name = layers.merged(RunConfig).get("model")
    if not isinstance(name, str):
        return None, None
    found = problems.attempt(lambda: catalog.model(name), at="config.model")
    return found or (None, None)
