"""Contracts between the framework and plugins: their base classes and the data passed to them.

Letters used for shapes: B images on this process, C input channels, H and W pixels, D feature
channels, h and w feature positions.
"""

from lightly_core.contracts.data import Batch, Sample, SampleExtras, Transform
from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Preprocessing, Written
from lightly_core.contracts.huggingface import HuggingFaceLibrary, HuggingFaceModel
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
    "Logger",
    "Method",
    "ModelLibrary",
    "ModelWrapper",
    "ParameterGroup",
    "Preprocessing",
    "RunContext",
    "Sample",
    "SampleExtras",
    "SourceLibrary",
    "StepResult",
    "Transform",
    "WrapperLike",
    "Written",
]
