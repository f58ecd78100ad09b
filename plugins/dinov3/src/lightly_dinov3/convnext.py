"""A ConvNeXt of DINOv3 as a backbone."""

from __future__ import annotations

from typing import cast

from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from lightly_timm.wrapper import TimmCheckpointingWrapper


class DINOv3ConvNeXtWrapper(TimmCheckpointingWrapper):
    """Give a ConvNeXt the outputs that DINOv3 was trained for.

    The last norm is applied to every position, and to the average over positions, which takes the
    place of a class token: DINOv3 (https://arxiv.org/abs/2508.10104) distils both.

    Shapes: B images, C channels, D = `feature_dim()`, h and w feature positions.

    Args:
        model: timm's ConvNeXt without classifier.
        num_input_channels: C.
    """

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the feature map.

        Args:
            x: Normalised images (B, C, H, W).

        Returns:
            ``features`` (B, D, h, w) and ``cls_token`` (B, D).
        """
        features = super().forward_features(x)["features"]
        norm = cast(nn.Module, cast(ConvNeXt, self.model).head.norm)
        average = features.mean(dim=(2, 3), keepdim=True)  # (B, D, 1, 1)
        return {"features": norm(features), "cls_token": norm(average).flatten(1)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pool what `forward_features` returned.

        Args:
            x: ``features`` (B, D, h, w) and, where there is one, ``cls_token`` (B, D).

        Returns:
            ``pooled_features`` (B, D, 1, 1): the class token if given, else the mean.
        """
        if "cls_token" in x:
            return {"pooled_features": x["cls_token"][:, :, None, None]}
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}
