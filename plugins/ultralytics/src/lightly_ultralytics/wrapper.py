"""A model of ultralytics as a backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError
from lightly_ultralytics.description import input_channels
from lightly_ultralytics.graph import Anatomy, Plan, examine, layers_of


class UltralyticsWrapper(ModelWrapper):
    """Give a YOLO or RT-DETR model the interface of a backbone.

    The features are the backbone's last map; neck and head are not run.

    Images of any size are accepted. They are padded with zeros at the right and at the bottom, to
    multiples of the model's stride. In normalised images zero is the mean colour.

    Shapes: B images, C channels, D = `feature_dim()`, h and w feature positions.

    Args:
        model: For example `YOLO(...).model`; it is not changed, and its parameters are those of
            the wrapper.
        anatomy: What `lightly_ultralytics.graph.examine` found in it.
    """

    def __init__(self, model: nn.Module, anatomy: Anatomy) -> None:
        super().__init__()
        self.model = model
        self._anatomy = anatomy

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w).
        """
        return {"features": self._run(self._anatomy.features, x)[0]}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average ``features`` (B, D, h, w) to ``pooled_features`` (B, D, 1, 1)."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return D."""
        return self._anatomy.feature_dim

    def get_model(self) -> nn.Module:
        """Return the model of ultralytics."""
        return self.model

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean 0 and standard deviation 1: ultralytics trains on values in [0, 1]."""
        channels = input_channels(self.model)
        return (0.0,) * channels, (1.0,) * channels

    def used_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the layers that the features depend on."""
        layers = cast(nn.Sequential, self.model.model)
        for step in self._anatomy.features.steps:
            yield from layers[step.layer].parameters()

    def _run(self, plan: Plan, x: Tensor) -> list[Tensor]:
        stride = self._anatomy.stride
        height, width = x.shape[-2:]
        missing = (-width % stride, -height % stride)
        if any(missing):
            x = F.pad(x, (0, missing[0], 0, missing[1]))
        return plan.run(cast(nn.Module, self.model.model), x)


class MultiScaleWrapper(UltralyticsWrapper):
    """An `UltralyticsWrapper` that also returns all maps that the backbone passes to the neck."""

    def multi_scale_dims(self) -> tuple[int, ...]:
        """Return the dimension of each map, finest map first."""
        return self._anatomy.backbone_dims

    def forward_multi_scale(self, x: Tensor) -> list[Tensor]:
        """Compute the maps (B, D_i, h_i, w_i) of images (B, C, H, W), finest first."""
        return self._run(self._anatomy.backbone_maps, x)


class NeckWrapper(MultiScaleWrapper):
    """Everything up to the head: the features are all the maps that the head gets.

    Each map is averaged to the grid of the coarsest, then all are concatenated:
    D = sum of `multi_scale_dims()`. Gradients reach backbone and neck.
    """

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the maps before the head, concatenated.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w) on the grid of the coarsest map.
        """
        maps = self.forward_multi_scale(x)
        grid = (maps[-1].shape[-2], maps[-1].shape[-1])
        return {"features": torch.cat([F.adaptive_avg_pool2d(m, grid) for m in maps], dim=1)}

    def feature_dim(self) -> int:
        """Return D, the sum of the dimensions of all maps."""
        return sum(self._anatomy.neck_dims)

    def multi_scale_dims(self) -> tuple[int, ...]:
        """Return the dimension of each map before the head, finest map first."""
        return self._anatomy.neck_dims

    def forward_multi_scale(self, x: Tensor) -> list[Tensor]:
        """Compute the maps (B, D_i, h_i, w_i) before the head, finest first."""
        assert self._anatomy.neck_maps is not None
        return self._run(self._anatomy.neck_maps, x)


def wrap_ultralytics(
    model: nn.Module, num_input_channels: int = 3, *, train_neck: bool = False
) -> UltralyticsWrapper:
    """Pick the wrapper for a model.

    Args:
        model: For example `YOLO(...).model`.
        num_input_channels: C.
        train_neck: Whether features are computed by everything up to the head, not by the
            backbone alone.

    Returns:
        A `NeckWrapper`, a `MultiScaleWrapper`, or for models with one map an
        `UltralyticsWrapper`.

    Raises:
        ConfigError: The model has no backbone that can be run alone, or no neck.
    """
    anatomy = examine(model, num_input_channels, neck=train_neck)
    if train_neck and anatomy.neck_maps is None:
        head = type(layers_of(model)[-1]).__name__
        raise ConfigError(
            f"train_neck: this model has no neck, its head ({head}) takes the backbone's last map"
            "\n  omit train_neck, or use a detection, segmentation, pose or OBB model"
        )
    if train_neck:
        return NeckWrapper(model, anatomy)
    if len(anatomy.backbone_dims) > 1:
        return MultiScaleWrapper(model, anatomy)
    return UltralyticsWrapper(model, anatomy)
