"""A wrapper under test, and helpers that its checks share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.testing.checks import require

# Another seed than that of checks, so models that a check builds have other weights.
_SEED = 1
_USUAL_SIZES = (64, 96, 128, 224, 256, 299, 384, 448, 512)


@dataclass(frozen=True, eq=False)
class WrapperCase:
    """A factory of wrappers and the images that they take.

    `built` and `trained` return the same wrapper at every call; checks must not change it.
    `copied` and `trained_copy` return copies that a check may change. `factory` is for checks that
    compare independently built wrappers.

    Attributes:
        factory: Returns a new wrapper at each call, always of the same architecture.
        given_size: Side in pixels that the model accepts. None: `image_size` searches for one.
        num_input_channels: C.
        channels_factory: Returns a new wrapper for another number of channels.
    """

    factory: Callable[[], ModelWrapper]
    given_size: int | None
    num_input_channels: int
    channels_factory: Callable[[int], ModelWrapper] | None = None

    @cached_property
    def image_size(self) -> int:
        """Image side in pixels that the model accepts."""
        if self.given_size is not None:
            return self.given_size
        return fitting_size(self.built(), self.num_input_channels)

    def images(
        self, batch_size: int = 2, height: int = 1, width: int = 1, channels: int | None = None
    ) -> Tensor:
        """Return random images (B, C, H, W); height and width in units of `image_size`."""
        size = self.image_size
        return self.images_of(height * size, width * size, batch_size, channels)

    def images_of(
        self, height: int, width: int, batch_size: int = 2, channels: int | None = None
    ) -> Tensor:
        """Return random images (B, C, H, W) of a size in pixels."""
        return torch.randn(batch_size, channels or self.num_input_channels, height, width)

    def built(self) -> ModelWrapper:
        """Return the wrapper as the factory built it."""
        return _CACHE.get(self, "built", self.factory)

    def copied(self) -> ModelWrapper:
        """Return a copy of `built`."""
        twin = _copy_of(self.built())
        return self.factory() if twin is None else twin

    def trained(self, scale_noise: float = 0.01, matrix_noise: float = 0.01) -> ModelWrapper:
        """Return a wrapper whose weights and running statistics no new wrapper has.

        It is in evaluation mode.

        Args:
            scale_noise: Standard deviation of the noise added to biases, norms and scales.
            matrix_noise: Standard deviation of the noise added to all other parameters.
        """

        def train() -> ModelWrapper:
            return self._trained(self.copied(), scale_noise, matrix_noise)

        return _CACHE.get(self, (scale_noise, matrix_noise), train)

    def trained_copy(self) -> ModelWrapper:
        """Return a copy of `trained`."""
        twin = _copy_of(self.trained())
        return self.newly_trained() if twin is None else twin

    def newly_trained(self) -> ModelWrapper:
        """Return a new wrapper that was trained in the same way."""
        return self._trained(self.factory())

    def _trained(
        self, wrapper: ModelWrapper, scale_noise: float = 0.01, matrix_noise: float = 0.01
    ) -> ModelWrapper:
        with torch.no_grad():
            for parameter in wrapper.parameters():
                noise = scale_noise if parameter.ndim < 2 else matrix_noise
                parameter.add_(noise * torch.randn_like(parameter))
            wrapper.train()
            outputs(wrapper, self.images())
        wrapper.eval()
        return wrapper


class _Cache:
    """Wrappers of the most recent case.

    Those of the previous case are released first, so only one example is in memory.
    """

    def __init__(self) -> None:
        self._case: WrapperCase | None = None
        self._wrappers: dict[Hashable, ModelWrapper] = {}

    def get(
        self, case: WrapperCase, key: Hashable, make: Callable[[], ModelWrapper]
    ) -> ModelWrapper:
        """Return the value of a key, created at its first use."""
        if self._case is not case:
            self._case, self._wrappers = case, {}
        if key not in self._wrappers:
            # The wrapper, and images sampled after it, must not depend on the order of the checks.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_SEED)
                wrapper = make()
            self._wrappers[key] = wrapper
        return self._wrappers[key]


# Checks live as long as the test session, so all cases share one cache.
_CACHE = _Cache()


def _copy_of(wrapper: ModelWrapper) -> ModelWrapper | None:
    """Return a deep copy, None if copying fails or the copy shares tensors with the original."""
    try:
        twin = copy.deepcopy(wrapper)
    except Exception:  # W7 raises it again.
        return None
    return None if _storages(twin) & _storages(wrapper) else twin


def _storages(wrapper: ModelWrapper) -> set[int]:
    module = cast(nn.Module, wrapper)
    tensors = (*module.parameters(), *module.buffers())
    return {tensor.data_ptr() for tensor in tensors if tensor.numel()} - {0}


def fitting_size(wrapper: ModelWrapper, channels: int) -> int:
    """Return the first usual image size at which features have more than one position."""
    sizes: tuple[int, ...] = _USUAL_SIZES
    if isinstance(wrapper, TokenModel):
        side = wrapper.patch_size()
        sizes = (-(-_USUAL_SIZES[0] // side) * side, *_USUAL_SIZES)
    wrapper.eval()
    for size in sizes:
        try:
            with torch.no_grad():
                features = wrapper.forward_features(torch.zeros(1, channels, size, size))
            if min(features["features"].shape[2:]) > 1:
                return size
        except Exception:  # Any error means that the model does not accept the size.
            continue
    return sizes[0]


def outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    """Return all tensors of `forward_features` and `forward_pool`."""
    features = wrapper.forward_features(images)
    return {**features, **wrapper.forward_pool(features)}


def eval_outputs(wrapper: ModelWrapper, images: Tensor) -> dict[str, Tensor]:
    """Return `outputs` in evaluation mode and without gradients."""
    wrapper.eval()
    with torch.no_grad():
        return outputs(wrapper, images)


def require_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Raise if the names or any bit of two sets of tensors differ."""
    require(found.keys() == expected.keys(), f"{what}: keys {set(found)}, expected {set(expected)}")
    for name, value in found.items():
        require(torch.equal(value, expected[name]), f"{what}: '{name}' differs")
