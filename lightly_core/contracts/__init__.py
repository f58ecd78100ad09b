"""Contracts between the framework and plugins: their base classes and the data passed to them.

Letters used for shapes: B images on this process, C input channels, H and W pixels, D feature
channels, h and w feature positions.

Each name is imported when it is first used, so that a logger can be imported without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightly_core.contracts.data import Batch, Sample, SampleExtras, Transform
    from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Preprocessing, Written
    from lightly_core.contracts.huggingface import HuggingFaceLibrary, HuggingFaceModel
    from lightly_core.contracts.launcher import (
        Launcher,
        RowEnd,
        RowJob,
        RowMachine,
        Stop,
        SuiteInfo,
    )
    from lightly_core.contracts.logger import ExportedModel, Logger
    from lightly_core.contracts.method import Method, RunContext, StepResult
    from lightly_core.contracts.model import ModelLibrary, ModelWrapper, WrapperLike
    from lightly_core.contracts.source import (
        ExampleImage,
        ImageRequest,
        ImageSource,
        Labels,
        SourceLibrary,
    )
    from lightly_core.optim.groups import ParameterGroup

_HOMES = {
    "Batch": "lightly_core.contracts.data",
    "ExampleImage": "lightly_core.contracts.source",
    "ExportFormat": "lightly_core.contracts.format",
    "ExportedModel": "lightly_core.contracts.logger",
    "ExportedNetwork": "lightly_core.contracts.format",
    "HuggingFaceLibrary": "lightly_core.contracts.huggingface",
    "HuggingFaceModel": "lightly_core.contracts.huggingface",
    "ImageRequest": "lightly_core.contracts.source",
    "ImageSource": "lightly_core.contracts.source",
    "Labels": "lightly_core.contracts.source",
    "Launcher": "lightly_core.contracts.launcher",
    "Logger": "lightly_core.contracts.logger",
    "Method": "lightly_core.contracts.method",
    "ModelLibrary": "lightly_core.contracts.model",
    "ModelWrapper": "lightly_core.contracts.model",
    "ParameterGroup": "lightly_core.optim.groups",
    "Preprocessing": "lightly_core.contracts.format",
    "RowEnd": "lightly_core.contracts.launcher",
    "RowJob": "lightly_core.contracts.launcher",
    "RowMachine": "lightly_core.contracts.launcher",
    "RunContext": "lightly_core.contracts.method",
    "Sample": "lightly_core.contracts.data",
    "SampleExtras": "lightly_core.contracts.data",
    "SourceLibrary": "lightly_core.contracts.source",
    "StepResult": "lightly_core.contracts.method",
    "Stop": "lightly_core.contracts.launcher",
    "SuiteInfo": "lightly_core.contracts.launcher",
    "Transform": "lightly_core.contracts.data",
    "WrapperLike": "lightly_core.contracts.model",
    "Written": "lightly_core.contracts.format",
}

__all__ = [
    "Batch",
    "ExampleImage",
    "ExportFormat",
    "ExportedModel",
    "ExportedNetwork",
    "HuggingFaceLibrary",
    "HuggingFaceModel",
    "ImageRequest",
    "ImageSource",
    "Labels",
    "Launcher",
    "Logger",
    "Method",
    "ModelLibrary",
    "ModelWrapper",
    "ParameterGroup",
    "Preprocessing",
    "RowEnd",
    "RowJob",
    "RowMachine",
    "RunContext",
    "Sample",
    "SampleExtras",
    "SourceLibrary",
    "StepResult",
    "Stop",
    "SuiteInfo",
    "Transform",
    "WrapperLike",
    "Written",
]


def __getattr__(name: str) -> object:
    """Import the module that defines a name when the name is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lightly_core.contracts' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
