"""MoCo v2: find the key of an image's other view in a queue (Chen et al. 2020, arXiv:2003.04297).

Shapes: B images on this process, P = ``output_dim``, N negatives.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.contrast import contrast_negatives, negatives_from, top1
from lightly_core.parts.cosine import unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.queue import FeatureQueue
from lightly_core.parts.shuffle import forward_in_groups
from lightly_methods.contrastive.mocov2_config import MoCoV2Config


class MoCoV2(TeacherMethod[MoCoV2Config]):
    """Find the key of an image's other view among the keys of many earlier images.

    The key encoder is an EMA of backbone and projector, so the keys of earlier batches are still
    good negatives. A queue of them makes up for small batches. https://arxiv.org/abs/2003.04297

    Differs from the paper's code:

    - The queue starts empty, without random rows. The loss rises while it fills. In the first step
      the negatives are the keys of the other images in the batch.
    - Keys are not sent to other devices. The key encoder runs on random groups of the batch
      (`key_groups`), so that its batch norms see other sets of images than the queries'.
    - Biases and norms are not decayed.
    - In short runs the momentum starts lower. With `momentum_start=0.999` it is constant.
    """

    def build(self) -> None:
        """Create projector and queue, and the key encoder."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        projector = mlp([self.model.feature_dim(), *hidden, config.output_dim])
        queue = FeatureQueue(int(config.queue_size), config.output_dim)
        # In dicts, as checkpoints of MoCo v2 and of DenseCL, which has two of each, name them.
        self.projectors = nn.ModuleDict({"image": projector})
        self.queues = nn.ModuleDict({"image": queue})
        self.num_groups = num_key_groups(config, self.model, self.context)
        self.add_teacher("projectors", batch_norm="own_statistics")

    @property
    def queue(self) -> FeatureQueue:
        """The keys of earlier batches."""
        return cast(FeatureQueue, self.queues["image"])

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Contrast the first view with the key of the second; both ways if ``symmetric``.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.

        Returns:
            The loss in nats. ``contrast/top1`` is the fraction of queries whose nearest candidate
            is their own key.
        """
        first, second = batch.views
        pairs = [(first, second), (second, first)] if self.config.symmetric else [(first, second)]
        losses, fractions = [], []
        for query_view, key_view in pairs:
            queries = self.projectors["image"](self.pool(query_view))  # (B, P)
            with torch.no_grad():
                keys = forward_in_groups(self.encode_keys, key_view, self.num_groups)  # (B, P)
            negatives, own = negatives_from(self.queue, keys)  # (N, P)
            self.queue.hold(unit(keys))
            logits, target = contrast_negatives(
                queries, keys, negatives, self.config.temperature, own
            )  # (B, 1 + N), (B,)
            losses.append(F.cross_entropy(logits, target))
            fractions.append(top1(logits, target))
        return StepResult(
            torch.stack(losses).mean(), {"contrast/top1": torch.stack(fractions).mean()}
        )

    def encode_keys(self, images: Tensor) -> Tensor:
        """Return the keys (B, P) of images (B, C, H, W)."""
        keys: Tensor = self.teacher.get_submodule("projectors.image")(self.teacher.pool(images))
        return keys

    def after_step(self, step: int) -> None:
        """Update the key encoder, and add the keys of the step to the queue."""
        super().after_step(step)
        self.queue.push_held()


def num_key_groups(config: MoCoV2Config, model: ModelWrapper, context: RunContext) -> int:
    """Return the number of groups in which the key encoder sees a process's images.

    Without batch norm it is 1. Each group has at least two images.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return 1
    images = context.global_batch_size // context.world_size
    return max(1, min(int(config.key_groups), images // 2))
