"""Modules that compute the outputs of the parts of a network, for graphs and for comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from lightly_core.contracts.model import ModelWrapper

if TYPE_CHECKING:
    from lightly_core.contracts.format import ExportedNetwork


class PartOutputs(nn.Module):
    """Computes the outputs of a part of a network as a tuple of tensors.

    Attributes:
        names: Names of the outputs.
    """

    names: tuple[str, ...] = ()

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module


class FeatureOutputs(PartOutputs):
    """The feature map (B, D, h, w) and the pooled features (B, D) of a wrapper."""

    names = ("features", "pooled_features")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute both from normalised images (B, C, H, W)."""
        wrapper = cast(ModelWrapper, self.inner)
        found = wrapper.forward_features(images)
        return found["features"], wrapper.forward_pool(found)["pooled_features"].flatten(1)


class EmbeddingOutputs(PartOutputs):
    """The pooled features (B, D), or with the layer of ``embed_dim`` (B, E)."""

    names = ("embedding",)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute one vector for each of the normalised images (B, C, H, W)."""
        wrapper = cast(ModelWrapper, self.inner)
        found = wrapper.forward_features(images)
        return (wrapper.forward_pool(found)["pooled_features"].flatten(1),)


class ModuleOutputs(PartOutputs):
    """All tensors that a module returns, in order."""

    names = ()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute them from normalised images (B, C, H, W)."""
        return tuple(tensors_in(self.inner(images)))


def outputs_of(network: ExportedNetwork) -> PartOutputs:
    """Return the module that computes the outputs of the part of a network, in eval mode."""
    kinds: dict[str, type[PartOutputs]] = {
        "wrapped_model": FeatureOutputs,
        "embedding_model": EmbeddingOutputs,
    }
    return kinds.get(network.part, ModuleOutputs)(network.module).eval()


def tensors_in(value: object) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    entries: Iterable[object] = ()
    if isinstance(value, Mapping):
        entries = value.values()
    elif isinstance(value, (list, tuple)):
        entries = value
    return [tensor for entry in entries for tensor in tensors_in(entry)]
