"""MoCo v2 as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import as_module, check_batch, pooled_features
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.contrast import contrast_negatives, negatives_from, top1, unit
from lightly_core.parts.heads import mlp
from lightly_core.parts.queue import FeatureQueue
from lightly_core.parts.shuffle import forward_in_groups
from lightly_methods.contrastive.mocov2_config import MoCoV2Config
from lightly_methods.contrastive.views import two_views

Parts = dict[str, Tensor]
Network = Mapping[str, nn.Module] | nn.ModuleDict


class MoCoV2(TeacherMethod[MoCoV2Config]):
    """Find the key of an image's other view among the keys of many earlier images.

    Keys come from a slow average of the network, so that those of earlier batches are still good
    negatives: a queue of them makes up for small batches. https://arxiv.org/abs/2003.04297

    What differs from the paper's code:

    - The queue starts empty, without random rows, and the loss rises while it fills. In the first
      step the negatives are the keys of the other images in the batch.
    - Keys are not sent to other devices. The key encoder runs on random groups of the batch
      (`key_groups`), so that its batch norms see other sets of images than the queries'.
    - Biases and norms are not decayed.
    - In short runs the momentum starts lower. With `momentum_start=0.999` it is constant.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: The batch is one image, or there are not two views.
    """

    #: What is compared; each has a projector and a queue.
    branches: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(self, config: MoCoV2Config, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, self.name)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [model.feature_dim(), *hidden, config.output_dim]
        self.projectors = nn.ModuleDict({branch: mlp(dims) for branch in self.branches})
        self.queues = nn.ModuleDict(
            {
                branch: FeatureQueue(int(config.queue_size), config.output_dim)
                for branch in self.branches
            }
        )
        self.num_groups = _num_groups(config, model, context)
        # As in the paper's code the keys' batch norms use the batches that they see.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the key encoder is a copy of."""
        return {"backbone": as_module(self.model), "projectors": self.projectors}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compare the first view with the key of the second, or each with the other's.

        Args:
            batch: ``views`` holds two tensors (B, C, H, W).
            step: Optimizer steps taken so far.

        Returns:
            The loss in nats, and as ``contrast/top1`` the share of queries, in [0, 1], that are
            most similar to their own key.
        """
        first, second = two_views(batch, self.name)
        pairs = [(first, second), (second, first)] if self.config.symmetric else [(first, second)]
        results = [self._one_way(*pair) for pair in pairs]
        metrics = {
            name: torch.stack([result[name] for result in results]).mean() for name in results[0]
        }
        loss = metrics.pop("loss")
        detached = {name: value.detach() for name, value in metrics.items()}
        return StepResult(loss, {**detached, "schedule/teacher_momentum": self.momentum(step)})

    def after_step(self, step: int) -> None:
        """Let the key encoder follow, and queue the keys of the step."""
        super().after_step(step)
        for branch in self.branches:
            self.queue(branch).push_held()

    def encode(self, network: Network, images: Tensor) -> Parts:
        """Return what is compared of images (B, C, H, W): ``image`` (B, P).

        Args:
            network: `student` or `teacher`.
            images: One view.
        """
        projectors = cast(nn.ModuleDict, network["projectors"])
        return {"image": projectors["image"](pooled_features(network["backbone"], images))}

    def compare(self, query: Parts, key: Parts) -> Parts:
        """Return ``loss`` and metrics of what `encode` returned for two views."""
        logits, target = self.contrast("image", query["image"], key["image"], key["image"])
        return {"loss": F.cross_entropy(logits, target), "contrast/top1": top1(logits, target)}

    def contrast(
        self, branch: str, queries: Tensor, positives: Tensor, keys: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compare queries with their positives and with a queue.

        Args:
            branch: Whose queue.
            queries: (R, P), R / B of them for an image, one after the other.
            positives: (R, P).
            keys: What the queue is to hold of the images, (B, P).

        Returns:
            See `contrast_negatives`.
        """
        queue = self.queue(branch)
        negatives, own = negatives_from(queue, keys)
        queue.hold(unit(keys))
        if own is not None:
            own = own.repeat_interleave(len(queries) // len(keys))  # (R,)
        return contrast_negatives(queries, positives, negatives, self.config.temperature, own)

    def queue(self, branch: str) -> FeatureQueue:
        """Return the keys of earlier batches."""
        return cast(FeatureQueue, self.queues[branch])

    def _one_way(self, query_images: Tensor, key_images: Tensor) -> Parts:
        query = self.encode(self.student(), query_images)
        with torch.no_grad():
            encode = partial(self.encode, self.teacher)
            key = forward_in_groups(encode, key_images, self.num_groups)
        return self.compare(query, key)


def _num_groups(config: MoCoV2Config, model: ModelWrapper, context: RunContext) -> int:
    """Return in how many groups the key encoder sees a process's images."""
    if not any(isinstance(module, _BatchNorm) for module in as_module(model).modules()):
        return 1
    images = context.global_batch_size // context.world_size
    return max(1, min(int(config.key_groups), images // 2))
