"""Self-supervised pretraining and distillation of vision backbones on your own images.

Importing this package does not import torch. Each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lightly_core.version import __version__ as __version__

if TYPE_CHECKING:  # "as" makes a name public for type checkers
    from lightly_core.advising.command import advise as advise
    from lightly_core.advising.report import Advice as Advice
    from lightly_core.api import DoctorReport as DoctorReport
    from lightly_core.api import EmbedResult as EmbedResult
    from lightly_core.api import EvaluationResult as EvaluationResult
    from lightly_core.api import ExportResult as ExportResult
    from lightly_core.api import RowResult as RowResult
    from lightly_core.api import RunResult as RunResult
    from lightly_core.api import benchmark as benchmark
    from lightly_core.api import doctor as doctor
    from lightly_core.api import embed as embed
    from lightly_core.api import evaluate as evaluate
    from lightly_core.api import export as export
    from lightly_core.api import list_formats as list_formats
    from lightly_core.api import list_methods as list_methods
    from lightly_core.api import list_models as list_models
    from lightly_core.api import list_plugins as list_plugins
    from lightly_core.api import list_runs as list_runs
    from lightly_core.api import pretrain as pretrain
    from lightly_core.api import report as report
    from lightly_core.api import run as run
    from lightly_core.api import train as train
    from lightly_core.contracts import ExportFormat as ExportFormat
    from lightly_core.contracts import Launcher as Launcher
    from lightly_core.contracts import Method as Method
    from lightly_core.contracts import ModelLibrary as ModelLibrary
    from lightly_core.contracts import ModelWrapper as ModelWrapper
    from lightly_core.contracts import SourceLibrary as SourceLibrary
    from lightly_core.engine.replay import replay as replay
    from lightly_core.errors import ConfigError as ConfigError
    from lightly_core.errors import DataError as DataError
    from lightly_core.errors import LightlyError as LightlyError
    from lightly_core.errors import PluginError as PluginError
    from lightly_core.errors import RunError as RunError
    from lightly_core.errors import RunInterrupted as RunInterrupted
    from lightly_core.errors import UnknownModelError as UnknownModelError
    from lightly_core.extracting.command import extract_frames as extract_frames
    from lightly_core.extracting.result import ExtractResult as ExtractResult
    from lightly_core.models.custom import wrap as wrap
    from lightly_core.models.wrapping import get_wrapped_model as get_wrapped_model
    from lightly_core.plugins.catalog import Catalog as Catalog
    from lightly_core.plugins.hookspecs import RunInfo as RunInfo
    from lightly_core.plugins.hookspecs import hookimpl as hookimpl
    from lightly_core.plugins.records import FormatRecord as FormatRecord
    from lightly_core.plugins.records import LauncherRecord as LauncherRecord
    from lightly_core.plugins.records import LoggerRecord as LoggerRecord
    from lightly_core.plugins.records import MethodRecord as MethodRecord
    from lightly_core.plugins.records import ModelsRecord as ModelsRecord
    from lightly_core.plugins.records import SourceRecord as SourceRecord
    from lightly_core.plugins.records import TransformRecord as TransformRecord

_HOMES = {
    "Advice": "lightly_core.advising.report",
    "advise": "lightly_core.advising.command",
    "RunInfo": "lightly_core.plugins.hookspecs",
    "LauncherRecord": "lightly_core.plugins.records",
    "LoggerRecord": "lightly_core.plugins.records",
    "FormatRecord": "lightly_core.plugins.records",
    "TransformRecord": "lightly_core.plugins.records",
    "ModelsRecord": "lightly_core.plugins.records",
    "SourceRecord": "lightly_core.plugins.records",
    "MethodRecord": "lightly_core.plugins.records",
    "Catalog": "lightly_core.plugins.catalog",
    "ConfigError": "lightly_core.errors",
    "DataError": "lightly_core.errors",
    "DoctorReport": "lightly_core.api",
    "EmbedResult": "lightly_core.api",
    "EvaluationResult": "lightly_core.api",
    "ExportFormat": "lightly_core.contracts",
    "ExportResult": "lightly_core.api",
    "ExtractResult": "lightly_core.extracting.result",
    "Launcher": "lightly_core.contracts",
    "LightlyError": "lightly_core.errors",
    "Method": "lightly_core.contracts",
    "ModelLibrary": "lightly_core.contracts",
    "ModelWrapper": "lightly_core.contracts",
    "SourceLibrary": "lightly_core.contracts",
    "PluginError": "lightly_core.errors",
    "RunError": "lightly_core.errors",
    "RunInterrupted": "lightly_core.errors",
    "RowResult": "lightly_core.api",
    "RunResult": "lightly_core.api",
    "UnknownModelError": "lightly_core.errors",
    "benchmark": "lightly_core.api",
    "doctor": "lightly_core.api",
    "embed": "lightly_core.api",
    "evaluate": "lightly_core.api",
    "export": "lightly_core.api",
    "extract_frames": "lightly_core.extracting.command",
    "get_wrapped_model": "lightly_core.models.wrapping",
    "hookimpl": "lightly_core.plugins.hookspecs",
    "list_formats": "lightly_core.api",
    "list_methods": "lightly_core.api",
    "list_models": "lightly_core.api",
    "list_plugins": "lightly_core.api",
    "list_runs": "lightly_core.api",
    "pretrain": "lightly_core.api",
    "report": "lightly_core.api",
    "replay": "lightly_core.engine.replay",
    "run": "lightly_core.api",
    "train": "lightly_core.api",
    "wrap": "lightly_core.models.custom",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    """Import the module that defines a public name when the name is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lightly_core' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
