"""A frozen teacher."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import cycle, islice
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import ModelWrapper, RunContext
from lightly_core.contracts.capabilities import InputNormalization, MultiScaleFeatures, TokenModel
from lightly_core.errors import ConfigError
from lightly_core.models.probing import probe
from lightly_core.parts.state import state_digest

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
#: Mean and standard deviation of each channel, for values in [0, 1].
Normalization = tuple[Sequence[float], Sequence[float]]

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Teacher:
    """A trained network in evaluation mode that is never changed.

    Not a `torch.nn.Module`: a method that has one as an attribute neither trains nor saves it, and
    `train()` does not reach it. It moves to the device of its images.

    Its input is what the student sees. Where the network was trained with another normalisation,
    the images are converted to that one first.

    Shapes: B images, C channels, D = `dim`, h and w positions of the feature map.

    Args:
        wrapper: The network. It is frozen in place, so pass a copy of a network in use.
        context: Facts of the run: channels, size and normalisation of the images.
        name: For messages.
        normalization: That of the network's training; None: its `input_normalization`, see
            `lightly_core.contracts.capabilities.InputNormalization`, else that of the images.
        precision: Number format of its products.
        chunk_size: Images in one forward pass; None: all that are given.
        compiled: Whether the forward pass is compiled.

    Raises:
        ConfigError: The network does not accept such images.
    """

    def __init__(
        self,
        wrapper: ModelWrapper,
        context: RunContext,
        *,
        name: str = "teacher",
        normalization: Normalization | None = None,
        precision: Precision = "fp32",
        chunk_size: int | None = None,
        compiled: bool = False,
    ) -> None:
        self.name = name
        self.wrapper = wrapper
        self._channels, self._image_size = context.input_channels, context.image_size
        self._autocast = _DTYPES[precision]
        self._chunk_size = chunk_size
        self._compiled = compiled
        self._computations: dict[str, Callable[..., tuple[Tensor, ...]]] = {}
        self._affine = _affine(wrapper, context, normalization)
        self._device: torch.device | None = None
        self._map_shapes: dict[int, tuple[int, int, int]] = {}
        wrapper.eval().requires_grad_(False)
        self._follow(torch.device("cpu"))
        found = probe(wrapper, self._channels, self._image_size)
        self.dim, self.grid = found.feature_dim, found.feature_size

    def map_shape(self, num_blocks: int) -> tuple[int, int, int]:
        """Return (K, h, w) of `feature_map`, from one forward pass.

        Raises:
            ConfigError: There is only one position, or there are fewer blocks.
        """
        if num_blocks in self._map_shapes:
            return self._map_shapes[num_blocks]
        if self.grid == (1, 1):
            size = " x ".join(str(side) for side in self._image_size)
            raise ConfigError(
                f"config.method_args.teacher: {self.name} gives one feature for the "
                f"whole image of {size} pixels, expected a map of features with several positions"
                "\n  take another teacher, a larger transform_args.image_size, or "
                "method=distillationv1, which needs no map"
            )
        images = torch.zeros(1, self._channels, *self._image_size, device=self._device)
        try:
            with torch.no_grad():  # on the CPU, for which nothing is compiled
                (found,) = self._map(num_blocks, self._prepared(images))
        except ValueError as error:
            raise ConfigError(
                f"config.method_args.n_teacher_blocks: teacher {self.name} has no "
                f"{num_blocks} blocks: {error}"
            ) from error
        if num_blocks > 1 and not isinstance(self.wrapper, (TokenModel, MultiScaleFeatures)):
            log.info(
                "Teacher %s has one feature map, which is used; n_teacher_blocks=%d is meant for "
                "vision transformers.",
                self.name,
                num_blocks,
            )
        self._map_shapes[num_blocks] = (found.shape[1], found.shape[2], found.shape[3])
        return self._map_shapes[num_blocks]

    def facts(self) -> dict[str, object]:
        """Return all that its features depend on except the images, as data that JSON can hold."""
        # Addresses in memory differ from run to run.
        structure = re.sub(r"0x[0-9a-fA-F]+", "", repr(self.wrapper))
        affine = None if self._affine is None else [v.flatten().tolist() for v in self._affine]
        return {
            "name": self.name,
            "structure": hashlib.sha256(structure.encode()).hexdigest()[:16],
            "weights": state_digest(self.wrapper.state_dict())[:16],
            "precision": str(self._autocast or "as the weights").removeprefix("torch."),
            "images_times_and_plus": affine,
        }

    # ------------------------------------------------------------------ features

    def pooled(self, images: Tensor) -> Tensor:
        """Return the pooled features of length 1, (B, D).

        Args:
            images: As the student gets them, (B, C, H, W).
        """
        (pooled,) = self._run("pooled", self._pool, images)
        return F.normalize(pooled, dim=1)

    def feature_map(self, images: Tensor, num_blocks: int) -> Tensor:
        """Return the concatenated features of the last blocks, (B, K, h, w).

        For a vision transformer these are the patch tokens after each of its last blocks and the
        last norm, K = D * `num_blocks`. For a network with maps of several strides these are its
        last maps, resized to the grid of the very last. For others, and for one block, it is what
        ``forward_features`` returns, K = D.

        Args:
            images: As the student gets them, (B, C, H, W).
            num_blocks: How many of the last blocks, >= 1.
        """
        (found,) = self._run(f"map{num_blocks}", partial(self._map, num_blocks), images)
        return found

    def pooled_and_map(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return `pooled` (B, D) and `feature_map` of one block (B, D, h, w), computed together.

        Args:
            images: As the student gets them, (B, C, H, W).
        """
        pooled, found = self._run("both", self._both, images)
        return F.normalize(pooled, dim=1), found

    # ------------------------------------------------------------------ inside

    def _pool(self, images: Tensor) -> tuple[Tensor]:
        return (self._both(images)[0],)

    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.wrapper.forward_features(images)
        pooled = self.wrapper.forward_pool(found)["pooled_features"].flatten(1)
        return pooled, found["features"]

    def _map(self, num_blocks: int, images: Tensor) -> tuple[Tensor]:
        wrapper = self.wrapper
        if num_blocks == 1:
            return (wrapper.forward_features(images)["features"],)
        if isinstance(wrapper, TokenModel):
            blocks = wrapper.forward_intermediates(images, num_blocks, norm=True)
            tokens = torch.cat([block["patch_tokens"] for block in blocks], dim=2)  # (B, N, K)
            grid = wrapper.token_grid(*images.shape[2:])
            return (tokens.transpose(1, 2).reshape(*tokens.shape[::2], *grid),)  # (B, K, h, w)
        if isinstance(wrapper, MultiScaleFeatures):
            maps = wrapper.forward_multi_scale(images)[-num_blocks:]
            return (torch.cat([resize(one, maps[-1].shape[2:]) for one in maps], dim=1),)
        return (wrapper.forward_features(images)["features"],)

    # `no_grad` and not `inference_mode`: the results take part in a backward pass.
    @torch.no_grad()
    def _run(
        self, key: str, compute: Callable[[Tensor], tuple[Tensor, ...]], images: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute on chunks of the images. The results are float32."""
        self._follow(images.device)
        if self._compiled:
            if key not in self._computations:
                self._computations[key] = cast(Any, torch.compile(compute))
            compute = self._computations[key]
        chunks = torch.split(images, self._chunk_size or len(images))
        with self._precision_context(images.device):
            parts = [compute(self._prepared(chunk)) for chunk in chunks]
        return tuple(
            (torch.cat(part) if len(part) > 1 else part[0]).float()
            for part in zip(*parts, strict=True)
        )

    def _follow(self, device: torch.device) -> None:
        if device == self._device:
            return
        self.wrapper.to(device)
        if device.type != "mps":
            self.wrapper.to(memory_format=torch.channels_last)
        self._device = device

    def _precision_context(self, device: torch.device) -> AbstractContextManager[object]:
        if not torch.amp.is_autocast_available(device.type):
            return nullcontext()
        return torch.autocast(device.type, dtype=self._autocast, enabled=self._autocast is not None)

    def _prepared(self, images: Tensor) -> Tensor:
        parameter = next(iter(self.wrapper.parameters()), images)
        images = images.to(parameter.dtype)
        if self._affine is None:
            return images
        scale, shift = (values.to(images, non_blocking=True) for values in self._affine)
        return images * scale + shift

    def __getstate__(self) -> dict[str, Any]:
        # Compiled code can neither be copied nor pickled. It is compiled again.
        return {**self.__dict__, "_computations": {}}


def resize(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a feature map (B, D, h, w) to another grid, bilinearly.

    Args:
        features: Any float type.
        size: The new (h, w).
    """
    if tuple(features.shape[2:]) == tuple(size):
        return features
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


def _affine(
    wrapper: ModelWrapper, context: RunContext, wanted: Normalization | None
) -> tuple[Tensor, Tensor] | None:
    """Return factor and summand (1, C, 1, 1) from the images' normalisation to the teacher's."""
    own = wanted
    if own is None and isinstance(wrapper, InputNormalization):
        own = wrapper.input_normalization()
    if own is None:
        return None
    channels = context.input_channels
    mean, std, own_mean, own_std = (
        # Values for fewer channels are repeated in turn, as for the images.
        torch.tensor(list(islice(cycle(values), channels)), dtype=torch.float64)
        for values in (context.mean, context.std, *own)
    )
    # (x * std + mean - own_mean) / own_std
    scale, shift = std / own_std, (mean - own_mean) / own_std
    if torch.allclose(scale, torch.ones_like(scale)) and torch.allclose(
        shift, torch.zeros_like(shift), atol=1e-6
    ):
        return None
    log.info("The teacher's images are normalised with mean %s and std %s.", *map(list, own))
    return scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)
