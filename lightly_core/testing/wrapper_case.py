"""A wrapper under test, and what its checks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightly_core.protocols import ModelWrapper
from lightly_core.testing.checks import require


@dataclass(frozen=True)
class WrapperCase:
    """A factory of wrappers and the images that they take.

    Attributes:
        factory: Returns a new wrapper at each call, always of the same architecture.
        image_size: A side in pixels that the model takes.
        num_input_channels: C.
        channels_factory: Returns a new wrapper for another number of channels.
    """

    factory: Callable[[], ModelWrapper]
    image_size: int
    num_input_channels: int
    channels_factory: Callable[[int], ModelWrapper] | None = None

    def images(self, batch_size: int = 2, height: int = 1, width: int = 1) -> Tensor:
        """Return random images (B, C, H, W); height and width in units of `image_size`."""
        return self.images_of(height * self.image_size, width * self.image_size, batch_size)

    def images_of(self, height: int, width: int, batch_size: int = 2) -> Tensor:
        """Return random images (B, C, H, W) of a size in pixels."""
        return torch.randn(batch_size, self.num_input_channels, height, width)

    def trained(self, scale_noise: float = 0.01, matrix_noise: float = 0.01) -> ModelWrapper:
        """Return a wrapper whose weights and running statistics no new wrapper has.

        Args:
            scale_noise: Standard deviation of what is added to biases, norms and scales.
            matrix_noise: Standard deviation of what is added to all other parameters.
        """
        wrapper = self.factory()
        with torch.no_grad():
            for parameter in wrapper.parameters():
                noise = scale_noise if parameter.ndim < 2 else matrix_noise
                parameter.add_(noise * torch.randn_like(parameter))
            wrapper.train()
            outputs(wrapper, self.images())
        wrapper.eval()
        return wrapper


def outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    """Return all tensors that both forward steps give."""
    features = wrapper.forward_features(images)
    return {**features, **wrapper.forward_pool(features)}


def eval_outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    """Do the same in evaluation mode and without gradients."""
    wrapper.eval()
    with torch.no_grad():
        return outputs(wrapper, images)


def require_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Raise where the names or any bit of two sets of tensors differ."""
    require(found.keys() == expected.keys(), f"{what}: keys {set(found)}, not {set(expected)}")
    for name, value in found.items():
        require(torch.equal(value, expected[name]), f"{what}: '{name}' differs")
