"""Self-supervised pretraining and distillation of vision backbones on your own images.

Importing this package imports no torch; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightly_core.api import (
        RunResult,
        list_methods,
        list_models,
        list_plugins,
        pretrain,
        run,
        train,
    )
    from lightly_core.errors import (
        ConfigError,
        DataError,
        LightlyError,
        PluginError,
        RunError,
        RunInterrupted,
        UnknownModelError,
    )
    from lightly_core.models.wrapping import get_wrapped_model
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.hookspecs import hookimpl
    from lightly_core.protocols import Method, ModelLibrary, ModelWrapper

__version__ = "0.1.0"

_HOMES = {
    "Catalog": "lightly_core.plugins.catalog",
    "ConfigError": "lightly_core.errors",
    "DataError": "lightly_core.errors",
    "LightlyError": "lightly_core.errors",
    "Method": "lightly_core.protocols",
    "ModelLibrary": "lightly_core.protocols",
    "ModelWrapper": "lightly_core.protocols",
    "PluginError": "lightly_core.errors",
    "RunError": "lightly_core.errors",
    "RunInterrupted": "lightly_core.errors",
    "RunResult": "lightly_core.api",
    "UnknownModelError": "lightly_core.errors",
    "get_wrapped_model": "lightly_core.models.wrapping",
    "hookimpl": "lightly_core.plugins.hookspecs",
    "list_methods": "lightly_core.api",
    "list_models": "lightly_core.api",
    "list_plugins": "lightly_core.api",
    "pretrain": "lightly_core.api",
    "run": "lightly_core.api",
    "train": "lightly_core.api",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - the table above is the one list of names


def __getattr__(name: str) -> object:
    """Import the module that holds a public name when the name is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lightly_core' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
