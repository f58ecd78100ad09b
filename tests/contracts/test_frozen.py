"""Values that rooms and plugins hand to each other cannot be changed behind their back."""

import dataclasses
import importlib
import inspect
import pkgutil

import attrs

from lightly_core import contracts
from lightly_core.config import auto, options
from lightly_core.config.options.suite import SuiteConfig
from lightly_core.plugins import records

#: A sample and a batch are filled step by step, and a method adds metrics to its result.
MUTABLE = {"Sample", "Batch", "StepResult"}
#: Values of few parts, whose order says what they are.
POSITIONAL = {"ForeignKey", "RunFacts", "PythonObject", "ViewSpec"}


def classes(package):
    """Return the classes of values that a package or module defines."""
    names = [f"{package.__name__}.{one.name}" for one in pkgutil.iter_modules(_path(package))]
    found = []
    for module in (package, *map(importlib.import_module, names)):
        found += [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls) and cls.__module__ == module.__name__
        ]
    return [cls for cls in found if attrs.has(cls) or dataclasses.is_dataclass(cls)]


def _path(package):
    return getattr(package, "__path__", [])


def can_be_changed(cls):
    value = object.__new__(cls)
    name = next(iter(attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls))).name
    try:
        setattr(value, name, None)
    except (attrs.exceptions.FrozenInstanceError, dataclasses.FrozenInstanceError):
        return False
    return True


def test_values_of_contracts_settings_and_records_are_frozen():
    found = [cls for one in (contracts, options, auto, records) for cls in classes(one)]
    assert SuiteConfig in found
    with_parts = [cls for cls in found if getattr(cls, "__attrs_attrs__", True)]
    assert {cls.__name__ for cls in with_parts if can_be_changed(cls)} == MUTABLE


def test_options_and_records_are_given_by_keyword():
    found = [cls for one in (options, records) for cls in classes(one)]
    positional = {cls.__name__ for cls in found if not all(a.kw_only for a in attrs.fields(cls))}
    assert positional == POSITIONAL
