"""A timm model as a backbone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import per_channel
from lightly_core.errors import ConfigError
from lightly_timm.anatomy import examine
from lightly_timm.pooling import apply_pool
from lightly_timm.shapes import follow, grid_of
from lightly_timm.trial import compute
from lightly_timm.twin import twin_of


class TimmWrapper(ModelWrapper):
    """Give a model of timm the interface of a backbone.

    The features are what the model's ``forward_features`` returns, converted to channels first.
    Layout, dimension, stride, prefix tokens and pooling are found by running a copy of the model.

    Shapes: B images, C channels, D = `feature_dim()`, h and w feature positions, P prefix tokens
    (class token, registers, distillation token).

    Args:
        model: The model; it is not changed, and its parameters are those of the wrapper.
        num_input_channels: C.
        image_size: Height and width in pixels for which the model was built, where none
            of its modules has an ``img_size``.

    Raises:
        ConfigError: The model has no features that can be found, or drops patches in training.
    """

    def __init__(
        self,
        model: nn.Module,
        num_input_channels: int = 3,
        *,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        _refuse_patch_dropout(model)
        self.model = model
        self._num_input_channels = num_input_channels
        self._anatomy = examine(model, num_input_channels, image_size=image_size)

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Images whose sides are no multiples of the patch, for models that need this, are resized
        to the nearest multiples first.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w); ``cls_token`` (B, D) for models with a class token; and
            ``prefix_tokens`` (B, P, D) for models with prefix tokens.

        Raises:
            ValueError: The model does not take images of this size.
        """
        anatomy = self._anatomy
        x = self._fit(x)
        output = compute(self.model, anatomy.entry, x)
        raw = follow(output, anatomy.path)
        if anatomy.layout == "tokens":
            return self._from_tokens(raw, self._grid(x, raw.shape[1] - anatomy.num_prefix_tokens))
        if anatomy.layout == "NHWC":
            raw = raw.permute(0, 3, 1, 2)  # (B, D, h, w)
        elif anatomy.layout == "NCL":
            raw = raw.reshape(*raw.shape[:2], *self._grid(x, raw.shape[2]))  # (B, D, h, w)
        result = {"features": raw}
        if anatomy.prefix_path is not None:
            result |= self._prefix_entries(follow(output, anatomy.prefix_path))
        return result

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool what `forward_features` returned, as the model itself does it.

        The classifier's dropout is skipped.

        Args:
            x: ``features`` (B, D, h, w) and, where there are any, ``prefix_tokens`` (B, P, D).

        Returns:
            ``pooled_features`` (B, D, 1, 1). The mean over all positions where the model has no
            pooling, where its pooling changes the dimension, or where prefix tokens are missing.
        """
        pool = self._anatomy.pool
        raw = None if pool.kind == "mean" else self._pool_input(x)
        if raw is None:
            return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}
        pooled = raw[:, 0] if pool.kind == "token" else apply_pool(self.model, pool, raw)
        return {"pooled_features": pooled.flatten(1)[:, :, None, None]}  # (B, D, 1, 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._anatomy.dim

    def get_model(self) -> nn.Module:
        """Return the timm model."""
        return self.model

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation that timm states for the model's weights."""
        stated = getattr(self.model, "pretrained_cfg", None)
        stated = stated if isinstance(stated, Mapping) else {}
        mean = stated.get("mean") or IMAGENET_DEFAULT_MEAN
        std = stated.get("std") or IMAGENET_DEFAULT_STD
        channels = self._num_input_channels
        return per_channel(mean, channels), per_channel(std, channels)

    def _grid(self, x: Tensor, num_patches: int) -> tuple[int, int]:
        anatomy = self._anatomy
        if anatomy.grid is not None:
            return anatomy.grid
        return grid_of(num_patches, (x.shape[-2], x.shape[-1]), anatomy.stride)

    def _pool_input(self, x: dict[str, Tensor]) -> Tensor | None:
        """Return what the model pools, in its own layout; None if prefix tokens are missing."""
        anatomy = self._anatomy
        features = x["features"]
        prefix = x.get("prefix_tokens")
        count = anatomy.num_prefix_tokens
        only_token = count == 1 or getattr(self.model, "global_pool", None) == "token"
        if prefix is None and count and only_token and "cls_token" in x:
            # Only the class token is pooled, so the values of the other tokens do not matter.
            prefix = x["cls_token"][:, None].expand(-1, count, -1)  # (B, P, D)
        if anatomy.num_prefix_tokens and prefix is None:
            return None
        if anatomy.layout == "NHWC":
            raw = features.permute(0, 2, 3, 1)  # (B, h, w, D)
        elif anatomy.layout == "NCHW":
            raw = features
        else:
            raw = features.flatten(2)  # (B, D, h * w)
        if anatomy.prefix_path is not None:
            return prefix
        if anatomy.layout == "tokens":
            patches = raw.transpose(1, 2)  # (B, h * w, D)
            return patches if prefix is None else torch.cat([prefix, patches], dim=1)
        return raw

    def _from_tokens(self, tokens: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Convert tokens (B, P + h * w, D) to the output of `forward_features`."""
        count = self._anatomy.num_prefix_tokens
        patches = tokens[:, count:].transpose(1, 2)  # (B, D, h * w)
        result = {"features": patches.reshape(*patches.shape[:2], *grid)}  # (B, D, h, w)
        return {**result, **self._prefix_entries(tokens[:, :count])} if count else result

    def _prefix_entries(self, prefix: Tensor) -> dict[str, Tensor]:
        result = {"prefix_tokens": prefix}  # (B, P, D)
        if self._anatomy.has_cls_token:
            result["cls_token"] = prefix[:, 0]  # (B, D)
        return result

    def _fit(self, x: Tensor) -> Tensor:
        """Resize images to a size that the model takes."""
        height, width = x.shape[-2:]
        self._check_size((height, width))
        return resize_to_multiple(x, *self._anatomy.multiple)

    def _check_size(self, size: tuple[int, int]) -> None:
        anatomy = self._anatomy
        name = type(self.model).__name__
        height, width = anatomy.size
        if not anatomy.any_size and size != anatomy.size:
            side = height if height == width else list(anatomy.size)
            raise ValueError(
                f"{name} as built here takes images of {height} x {width} pixels, got {size[0]} x "
                f"{size[1]}; set transform_args.image_size={side}{_rebuild(self.model)}"
            )
        vertical, horizontal = anatomy.multiple
        # Resizing by less than a patch hardly changes an image. To multiples of a whole window it
        # would.
        if vertical <= anatomy.stride[0] and horizontal <= anatomy.stride[1]:
            return
        if size[0] % vertical or size[1] % horizontal:
            raise ValueError(
                f"{name} takes images whose sides are multiples of {vertical} x {horizontal} "
                f"pixels, got {size[0]} x {size[1]}; set transform_args.image_size to such a "
                f"size{_rebuild(self.model)}"
            )


class TimmCheckpointingWrapper(TimmWrapper):
    """A `TimmWrapper` of a model that can compute activations again in the backward pass."""

    def set_activation_checkpointing(self, enabled: bool, every_n_blocks: int = 1) -> None:
        """Compute activations again in the backward pass to save memory.

        Args:
            enabled: Off gives the same numbers, faster and with more memory.
            every_n_blocks: Must be 1: timm decides which blocks belong together.

        Raises:
            ConfigError: `every_n_blocks` is not 1.
        """
        if every_n_blocks != 1:
            raise ConfigError(
                f"{type(self.model).__name__} chooses itself which blocks are computed again "
                f"together, got every_n_blocks={every_n_blocks}\n  leave it at 1"
            )
        _set_checkpointing(self.model, enabled)


def supports_checkpointing(model: nn.Module) -> bool:
    """Return whether timm's switch for activation checkpointing changes anything in a model."""
    if not hasattr(model, "set_grad_checkpointing"):
        return False
    twin = twin_of(model, on_meta=True)
    before = _switches(twin)
    try:
        _set_checkpointing(twin, True)
    except Exception:  # Models without it assert, some with other errors.
        return False
    return _switches(twin) != before


def resize_to_multiple(x: Tensor, vertical: int, horizontal: int) -> Tensor:
    """Resize images to the nearest size whose sides are multiples of a patch's; at least one.

    Args:
        x: Images (B, C, H, W).
        vertical: Height of a patch in pixels.
        horizontal: Width of a patch in pixels.
    """
    height, width = x.shape[-2:]
    size = nearest_multiple(height, vertical), nearest_multiple(width, horizontal)
    if size == (height, width):
        return x
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)


def nearest_multiple(side: int, step: int) -> int:
    """Return the multiple of `step` nearest to `side`, the larger of two; at least `step`."""
    return max(1, (2 * side + step) // (2 * step)) * step


def _rebuild(model: nn.Module) -> str:
    """Return how the model can be built for another image size, if it can."""
    if "img_size" not in inspect.signature(type(model)).parameters:
        return ""
    return ", or build the model for another size with model_args.img_size"


def _refuse_patch_dropout(model: nn.Module) -> None:
    """Refuse models that drop patches at random, for which timm cannot build a feature map."""
    rate = getattr(getattr(model, "patch_drop", None), "prob", 0.0)
    if rate:
        raise ConfigError(
            f"{type(model).__name__} drops {rate:.0%} of the patches in training, which leaves "
            "gaps in the feature map\n  omit patch_drop_rate"
        )


def _set_checkpointing(model: nn.Module, enabled: bool) -> None:
    switch: Any = model.set_grad_checkpointing
    switch(enabled)


def _switches(model: nn.Module) -> list[tuple[str, str, object]]:
    return [
        (path, name, value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, (bool, int))
    ]
