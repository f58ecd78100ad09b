"""Checks that apply to every plugin."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import attrs

from lightly_core.config.options.fields import group_class, settings_fields
from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.transform import TransformArgs
from lightly_core.config.reading.structure import structure, unstructure
from lightly_core.contracts import (
    ExportFormat,
    Launcher,
    Logger,
    Method,
    ModelLibrary,
    SourceLibrary,
    Transform,
)
from lightly_core.errors import ConfigError
from lightly_core.plugins.catalog import Catalog, named
from lightly_core.plugins.discovery import discover
from lightly_core.plugins.finding import FoundPlugin, find_plugins
from lightly_core.plugins.loading import load_config, load_target
from lightly_core.plugins.model_facts import read_facts
from lightly_core.plugins.model_names import model_names
from lightly_core.plugins.records import (
    KINDS,
    LEGAL_NAME,
    ConfiguredRecord,
    Kind,
    LauncherRecord,
    ModelsRecord,
    Record,
    SourceRecord,
)
from lightly_core.testing.checks import Check, require

#: Packages that a plugin's module and option classes must not import.
HEAVY_MODULES = (
    *("torch", "torchvision", "lightning", "pytorch_lightning", "timm", "ultralytics"),
    *("mlflow", "wandb", "webdataset", "datasets", "numpy", "cv2", "PIL"),
    *("ray", "submitit"),
)

_BASES: dict[Kind, type] = {
    "method": Method,
    "models": ModelLibrary,
    "transform": Transform,
    "logger": Logger,
    "format": ExportFormat,
    "source": SourceLibrary,
    "launcher": Launcher,
}

_LIST_HEAVY = """
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
print(" ".join(name for name in {heavy} if name in sys.modules))
"""


def plugin_checks(name: str) -> list[Check]:
    """Return the checks of an installed plugin.

    Args:
        name: Name of its entry point or of its distribution.

    Returns:
        One check for each requirement, P1 to P6.
    """
    return [
        Check(code, title, partial(function, name)) for code, (title, function) in _CHECKS.items()
    ]


def _find(name: str) -> FoundPlugin:
    found = [plugin for plugin in find_plugins() if named(name, plugin.name, plugin.distribution)]
    require(found, f"no plugin '{name}' is installed; pip install -e its folder first")
    require(len(found) == 1, f"{len(found)} plugins are called '{name}': {found}")
    return found[0]


def _register(plugin: FoundPlugin, catalog: Catalog) -> None:
    module = importlib.import_module(plugin.value)
    with catalog.registering(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        root=plugin.value.partition(".")[0],
    ):
        module.lightly_register(catalog)


def _records(name: str) -> list[Record]:
    catalog = Catalog()
    _register(_find(name), catalog)
    return [record for kind in KINDS for record in catalog.records(kind)]


def _entry_point(name: str) -> None:
    plugin = _find(name)
    (status,) = [
        status
        for status in discover(allow=[plugin.name]).statuses
        if (status.name, status.distribution) == (plugin.name, plugin.distribution)
    ]
    require(status.state == "loaded", f"plugin '{name}' is {status.state}: {status.error}")
    require(status.provides, f"plugin '{name}' registers nothing")


def _light(name: str) -> None:
    modules = [_find(name).value]
    modules += [
        record.config.partition(":")[0]
        for record in _records(name)
        if isinstance(record, ConfiguredRecord)
    ]
    modules += [
        record.check.partition(":")[0]
        for record in _records(name)
        if isinstance(record, (SourceRecord, LauncherRecord)) and record.check is not None
    ]
    # In a new process: this one has imported the heavy modules already.
    result = subprocess.run(
        [sys.executable, "-c", _LIST_HEAVY.format(modules=modules, heavy=HEAVY_MODULES)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    require(result.returncode == 0, f"{modules} cannot be imported:\n{result.stderr}")
    heavy = result.stdout.split()
    require(
        not heavy,
        f"importing {modules} imports {heavy}; move the code that needs them to the target",
    )


def _register_twice(name: str) -> None:
    plugin, catalog = _find(name), Catalog()
    seen = []
    for _ in range(2):
        _register(plugin, catalog)
        seen.append([record for kind in KINDS for record in catalog.records(kind)])
    require(seen[0] == seen[1], f"registering again changed {seen[0]} to {seen[1]}")


def _targets(name: str) -> None:
    root = _find(name).value.partition(".")[0]
    for record in _records(name):
        target, base = load_target(record), _BASES[record.kind]
        require(
            isinstance(target, type) and issubclass(target, base),
            f"target of {record.label} is {target!r}, expected a subclass of {base.__name__}",
        )
        home = getattr(target, "__module__", "").partition(".")[0]
        require(home == root, f"target of {record.label} lies in '{home}', expected '{root}'")


def _texts(name: str) -> None:
    for record in _records(name):
        require(LEGAL_NAME.fullmatch(record.name), f"name '{record.name}' is not allowed")
        require(
            record.summary.strip() and "\n" not in record.summary,
            f"summary of {record.label} is {record.summary!r}, expected one line",
        )
        if isinstance(record, ModelsRecord) and record.names is not None:
            names = model_names(record)
            require(names, f"{record.label} lists no model")
            require(len(set(names)) == len(names), f"{record.label} lists a model twice")
            read_facts(record)  # raises an error for a file that is not valid


def _options(name: str) -> None:
    for record in _records(name):
        if not isinstance(record, ConfiguredRecord):
            continue
        cls = load_config(record)
        require(attrs.has(cls), f"config of {record.label}, {cls}, is not an attrs class")
        if record.kind == "method":
            require(issubclass(cls, MethodConfig), f"{cls} is not a MethodConfig")
        if record.kind == "transform":
            require(issubclass(cls, TransformArgs), f"{cls} is not a TransformArgs")
        undocumented = list(_without_help(cls, cls.__name__))
        require(not undocumented, f"no metadata={{'help': ...}} on {', '.join(undocumented)}")
        default: attrs.AttrsInstance = structure({}, cls, path=record.name)
        _require_frozen(default)
        data = json.loads(json.dumps(unstructure(default)))
        again: attrs.AttrsInstance = structure(data, cls, path=record.name)
        require(again == default, f"{cls} read from its own JSON is {again}, expected {default}")
        try:
            structure({"no_such_option": 1}, cls, path=record.name)
        except ConfigError:
            continue
        raise AssertionError(f"{cls} accepts an option that it does not have")


def _without_help(cls: type, path: str) -> Iterator[str]:
    for field in settings_fields(cls):
        place = f"{path}.{field.name}"
        if not str(field.metadata.get("help", "")).strip():
            yield place
        if (group := group_class(field.type)) is not None:
            yield from _without_help(group, place)


def _require_frozen(instance: attrs.AttrsInstance) -> None:
    for field in attrs.fields(type(instance)):
        try:
            setattr(instance, field.name, getattr(instance, field.name))
        except attrs.exceptions.FrozenInstanceError:
            continue
        raise AssertionError(f"{type(instance)} is not frozen; write @define(frozen=True)")


_CHECKS: dict[str, tuple[str, Callable[[str], None]]] = {
    "P1": ("entry_point_resolves", _entry_point),
    "P2": ("import_is_light", _light),
    "P3": ("registering_twice_changes_nothing", _register_twice),
    "P4": ("targets_are_its_own_and_of_the_right_kind", _targets),
    "P5": ("names_and_summaries", _texts),
    "P6": ("options_are_frozen_explained_and_strict", _options),
}
