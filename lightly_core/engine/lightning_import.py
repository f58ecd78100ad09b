"""Imports Lightning without the metrics of torchmetrics.

Lightning needs two classes of torchmetrics. Importing these runs the file of the whole package,
which imports more than a hundred metrics and scipy.signal. A run uses none of them.

`import_lightning` puts the package into `sys.modules` without running its file, and imports the two
classes from the modules that define them, without matplotlib. The file runs when anything else of
the package is used for the first time: an attribute, or a module in it. Code that uses torchmetrics
sees no difference except for the time at which the file runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_NAME = "torchmetrics"
#: The names that Lightning takes from the package, and the modules that define them.
_LIGHT = {
    "__version__": "torchmetrics.__about__",
    "Metric": "torchmetrics.metric",
    "MetricCollection": "torchmetrics.collections",
}
#: Names with two underscores that the package's file defines. Inspections of all modules, as by
#: `unittest`, ask for others, which must not run the file.
_DEFINED = ("__path__", "__all__")

_PLOTS = "torchmetrics.utilities.plot"

_lock = threading.RLock()


def import_lightning() -> None:
    """Import Lightning. It has no effect if Lightning or torchmetrics is imported already."""
    if "lightning.pytorch" in sys.modules or _NAME in sys.modules:
        return
    package = _unexecuted()
    try:
        importlib.import_module("lightning.pytorch")
    finally:
        if package is not None and type(package) is _Package:
            # The next import of a module in the package asks for the path, which runs the file.
            del package.__dict__["__path__"]


def _unexecuted() -> _Package | None:
    """Put the package into `sys.modules` without running its file; None: that is not possible."""
    spec = importlib.util.find_spec(_NAME)
    if spec is None or spec.loader is None or spec.submodule_search_locations is None:
        return None
    package = importlib.util.module_from_spec(spec)
    if type(package) is not ModuleType:
        return None
    package.__class__ = _Package
    assert isinstance(package, _Package)
    sys.modules[_NAME] = package
    try:
        with _plots_later():
            # In this order the modules can import each other.
            importlib.import_module("torchmetrics.utilities")
            for name, home in _LIGHT.items():
                setattr(package, name, getattr(importlib.import_module(home), name))
    except Exception:  # a version of torchmetrics with other modules
        _execute(package)
        return None
    return package


@contextmanager
def _plots_later() -> Iterator[None]:
    """Replace the module that imports matplotlib, until the two classes are imported.

    They use two types of it in annotations, and one function, which `Metric.plot` calls.
    """
    later = ModuleType(_PLOTS)

    def plot_single_or_multi_val(*args: Any, **kwargs: Any) -> object:  # noqa: ANN401
        return importlib.import_module(_PLOTS).plot_single_or_multi_val(*args, **kwargs)

    vars(later).update(
        _AX_TYPE=object,
        _PLOT_OUT_TYPE=object,
        plot_single_or_multi_val=plot_single_or_multi_val,
    )
    sys.modules[_PLOTS] = later
    try:
        yield
    finally:
        if sys.modules.get(_PLOTS) is later:
            del sys.modules[_PLOTS]


class _Package(ModuleType):
    """The package before its file has run."""

    def __getattr__(self, name: str) -> object:
        if name == "_logger":  # imported by the package's own modules
            return logging.getLogger(_NAME)
        if name.startswith("__") and name not in _DEFINED:
            raise AttributeError(f"module '{_NAME}' has no attribute '{name}'")
        _execute(self)
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        _execute(self)
        return dir(self)


def _execute(package: ModuleType) -> None:
    """Run the file of the package."""
    with _lock:
        if type(package) is not _Package:
            return  # another thread has done so
        spec = package.__spec__
        assert spec is not None
        assert spec.loader is not None
        package.__class__ = ModuleType  # type: ignore[assignment]
        package.__path__ = list(spec.submodule_search_locations or ())
        try:
            spec.loader.exec_module(package)
        except BaseException:
            package.__class__ = _Package
            raise
