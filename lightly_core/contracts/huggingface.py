"""What a model library provides for the format huggingface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from lightly_core.contracts.format import ExportedNetwork, Outputs, Written


@dataclass(frozen=True)
class HuggingFaceModel:
    """A model in a layout that transformers reads.

    Attributes:
        config: Content of ``config.json``, with ``model_type``.
        tensors: Tensors with the names of published files of this ``model_type``.
        expected: Computes from images what transformers' model returns as ``last_hidden_state``
            and, flattened, as ``pooler_output``.
        written: What of the shape of the images is fixed.
    """

    config: Mapping[str, object]
    tensors: Mapping[str, Tensor]
    expected: Outputs
    written: Written = field(default_factory=Written)


@runtime_checkable
class HuggingFaceLibrary(Protocol):
    """A `lightly_core.contracts.ModelLibrary` some of whose models transformers has too."""

    def to_huggingface(self, network: ExportedNetwork) -> HuggingFaceModel:
        """Convert a network.

        Raises:
            ConfigError: transformers has no such model. The message states the reason.
        """
