"""DenseCL: MoCo v2 for images and for the positions in them (Wang et al. 2021, arXiv:2011.09157).

Shapes: B images on this process, D feature channels, S positions of a feature map,
P = ``output_dim``, N negatives.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.contrast import contrast_negatives, negatives_from, top1
from lightly_core.parts.cosine import unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import no_autocast
from lightly_core.parts.queue import FeatureQueue
from lightly_core.parts.shuffle import forward_in_groups
from lightly_methods.contrastive.densecl_config import DenseCLConfig
from lightly_methods.contrastive.mocov2 import num_key_groups


class DenseCL(TeacherMethod[DenseCLConfig]):
    """MoCo v2 for whole images, and the same for the positions of their feature maps.

    Positions of two views are matched by the similarity of the backbone's features. Their
    negatives are the mean positions of earlier images, from a second queue. For detection and
    segmentation. https://arxiv.org/abs/2011.09157

    The similarities of positions take B * S * Q numbers, for Q rows of the queue: 3.3 GB in
    float32 for the paper's 256 images on one device (it has eight), and as much for the gradient.
    A smaller `queue_size` or `grid_size` helps.

    Differs from the paper's code as MoCo v2 does. In addition, feature maps are averaged down to
    `grid_size`, which is the size that they have in the paper for images of 224 pixels.
    """

    def build(self) -> None:
        """Create two projectors and two queues, and the key encoder."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        size = int(config.queue_size)
        self.projectors = nn.ModuleDict({"image": mlp(dims), "dense": mlp(dims)})
        self.queues = nn.ModuleDict(
            {name: FeatureQueue(size, config.output_dim) for name in ("image", "dense")}
        )
        self.num_groups = num_key_groups(config, self.model, self.context)
        self.add_teacher("projectors", batch_norm="own_statistics")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Contrast the first view with the key of the second; both ways if ``symmetric``.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.

        Returns:
            The weighted sum of both losses, in nats. ``contrast/top1`` is the fraction of images,
            and ``contrast/dense_top1`` of positions, whose nearest candidate is the right one.
        """
        first, second = batch.views
        pairs = [(first, second), (second, first)] if self.config.symmetric else [(first, second)]
        encode_keys = partial(self.encode, self.teacher.backbone, self.teacher["projectors"])
        results = []
        for query_view, key_view in pairs:
            query = self.encode(self.model, self.projectors, query_view)
            with torch.no_grad():
                key = forward_in_groups(encode_keys, key_view, self.num_groups)
            results.append(self.compare(query, key))
        means = {
            name: torch.stack([result[name] for result in results]).mean() for name in results[0]
        }
        loss = means.pop("loss")
        return StepResult(loss, {name: value.detach() for name, value in means.items()})

    def encode(
        self, backbone: ModelWrapper, projectors: nn.Module, images: Tensor
    ) -> dict[str, Tensor]:
        """Compute what is compared of one view.

        Args:
            backbone: The student's or the teacher's.
            projectors: As `backbone`.
            images: (B, C, H, W).

        Returns:
            ``image`` (B, P) and ``dense`` (B, S, P), projections of the image and of its
            positions; ``features`` (B, S, D), the backbone's.
        """
        output = backbone.forward_features(images)
        pooled = backbone.forward_pool(output)["pooled_features"].flatten(1)  # (B, D)
        features = self.positions(output["features"])  # (B, S, D)
        return {
            "image": projectors.get_submodule("image")(pooled),
            "dense": projectors.get_submodule("dense")(features),
            "features": features,
        }

    def positions(self, feature_map: Tensor) -> Tensor:
        """Return a feature map (B, D, h, w), averaged down to `grid_size` a side, as (B, S, D)."""
        height, width = feature_map.shape[2:]
        if height * width < 2:
            raise ConfigError(
                f"method '{self.name}' got a feature map of {height} x {width} positions, expected "
                "more than one: positions are what it compares; use a model with feature maps, or "
                "larger images (transform_args.image_size)"
            )
        most = self.config.grid_size
        if max(height, width) > most:
            sides = (min(height, most), min(width, most))
            feature_map = F.adaptive_avg_pool2d(feature_map, sides)
        return feature_map.flatten(2).transpose(1, 2)

    def compare(self, query: dict[str, Tensor], key: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss and the metrics of what `encode` returned for two views."""
        logits, target = self.contrast("image", query["image"], key["image"], key["image"])
        image_loss, image_top1 = F.cross_entropy(logits, target), top1(logits, target)
        matched = take(key["dense"], matches(query["features"], key["features"]))  # (B, S, P)
        logits, target = self.contrast(
            "dense",
            query["dense"].flatten(0, 1),
            matched.flatten(0, 1),
            key["dense"].mean(dim=1),
        )
        dense_loss, dense_top1 = F.cross_entropy(logits, target), top1(logits, target)
        weight = self.config.dense_weight
        return {
            "loss": (1 - weight) * image_loss + weight * dense_loss,
            "contrast/top1": image_top1,
            "contrast/dense_top1": dense_top1,
            "train_loss/image": image_loss,
            "train_loss/dense": dense_loss,
        }

    def contrast(
        self, name: str, queries: Tensor, positives: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compare queries with their positives and with the rows of a queue.

        Args:
            name: ``image`` or ``dense``, which queue.
            queries: (R, P), R / B consecutive ones for each image.
            positives: (R, P).
            keys: Keys of the images for the queue, (B, P).

        Returns:
            Logits (R, 1 + N) and target (R,) of `contrast_negatives`.
        """
        queue = self.queue(name)
        negatives, own = negatives_from(queue, keys)  # (N, P)
        queue.hold(unit(keys))
        if own is not None:
            own = own.repeat_interleave(len(queries) // len(keys))  # (R,)
        return contrast_negatives(queries, positives, negatives, self.config.temperature, own)

    def queue(self, name: str) -> FeatureQueue:
        """Return the queue of ``image`` or ``dense`` keys of earlier batches."""
        return cast(FeatureQueue, self.queues[name])

    def after_step(self, step: int) -> None:
        """Update the key encoder, and add the keys of the step to the queues."""
        super().after_step(step)
        for name in self.queues:
            self.queue(name).push_held()


@torch.no_grad()
def matches(query_features: Tensor, key_features: Tensor) -> Tensor:
    """Return for each position of a query the most similar one of its image's key.

    ``match[b, s] = argmax over t of cos(query[b, s], key[b, t])``. The backbone's features are
    compared, not the projections, which are trained to agree where they are matched.

    Args:
        query_features: (B, S, D).
        key_features: (B, T, D), T positions of the key.

    Returns:
        (B, S) int64, in [0, T).
    """
    with no_autocast(query_features.device):
        similarity = unit(query_features) @ unit(key_features).transpose(1, 2)  # (B, S, T)
    return similarity.argmax(dim=2)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Return ``x[b, index[b, s]]`` for all b and s, (B, S, P).

    Args:
        x: (B, T, P).
        index: (B, S) int64.
    """
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
