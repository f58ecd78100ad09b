"""DenseCL as a method of lightly-core."""

from __future__ import annotations

from typing import ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError
from lightly_core.parts.contrast import top1
from lightly_methods.contrastive.densecl_config import DenseCLConfig
from lightly_methods.contrastive.densecl_loss import matches, take
from lightly_methods.contrastive.mocov2 import MoCoV2, Network, Parts


class DenseCL(MoCoV2):
    """MoCo v2 for images and, beside that, for the positions in them.

    Which positions of two views belong together is found by the similarity of the backbone's
    features. Their negatives are earlier images' mean positions, from a second queue. For
    detection and segmentation. https://arxiv.org/abs/2011.09157

    The similarities of positions take B * S * Q numbers, for S positions and Q rows of the queue:
    3.3 GB in float32 for the paper's 256 images on one device (it has eight), and as much for the
    gradient. A smaller `queue_size` or `grid_size` helps.

    What differs from the paper's code, beside what differs in MoCo v2: the feature map is averaged
    down to `grid_size`, in which the paper has it anyway for images of 224 pixels.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; both projectors are trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: As in MoCo v2, or the feature map has a single position.
    """

    config: DenseCLConfig
    branches: ClassVar[tuple[str, ...]] = ("image", "dense")

    def encode(self, network: Network, images: Tensor) -> Parts:
        """Return ``image`` (B, P), ``dense`` (B, S, P) and the backbone's ``features`` (B, S, D).

        Args:
            network: `student` or `teacher`.
            images: One view.
        """
        backbone = cast(ModelWrapper, network["backbone"])
        projectors = cast(nn.ModuleDict, network["projectors"])
        output = backbone.forward_features(images)
        pooled = backbone.forward_pool(output)["pooled_features"].flatten(1)  # (B, D)
        features = self._positions(output["features"])  # (B, S, D)
        return {
            "image": projectors["image"](pooled),
            "dense": projectors["dense"](features),
            "features": features,
        }

    def compare(self, query: Parts, key: Parts) -> Parts:
        """Return ``loss`` and metrics of what `encode` returned for two views."""
        image = super().compare(query, key)
        match = matches(query["features"], key["features"])  # (B, S)
        positives = take(key["dense"], match)  # (B, S, P)
        logits, target = self.contrast(
            "dense",
            query["dense"].flatten(0, 1),
            positives.flatten(0, 1),
            key["dense"].mean(dim=1),
        )
        dense = F.cross_entropy(logits, target)
        weight = self.config.dense_weight
        return {
            "loss": (1 - weight) * image["loss"] + weight * dense,
            "contrast/top1": image["contrast/top1"],
            "contrast/dense_top1": top1(logits, target),
            "train_loss/image": image["loss"],
            "train_loss/dense": dense,
        }

    def _positions(self, features: Tensor) -> Tensor:
        """Return a feature map (B, D, h, w), at most `grid_size` a side, as (B, S, D)."""
        height, width = features.shape[2:]
        if height * width < 2:
            raise ConfigError(
                f"method 'densecl' got a feature map of {height} x {width} positions, expected "
                "more than one: positions are what it compares; use a model with feature maps, or "
                "larger images (transform_args.image_size)"
            )
        most = self.config.grid_size
        if max(height, width) > most:
            features = F.adaptive_avg_pool2d(features, (min(height, most), min(width, most)))
        return features.flatten(2).transpose(1, 2)
