"""The three distillations; what they share is in `lightly_distillation.base`."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.heads import mlp
from lightly_core.parts.queue import FeatureQueue
from lightly_distillation.base import Distillation, agreement, project_map, tokens
from lightly_distillation.config import (
    DistillationV1Config,
    DistillationV2Config,
    DistillationV3Config,
)
from lightly_distillation.loss import feature_regression, queue_kl, relational_kl
from lightly_distillation.students import is_conv_with_batch_norm

#: Of the normal distribution from which the weights of heads are drawn.
_INIT_STD = 0.02


class DistillationV1(Distillation):
    """Place each image among earlier ones as the teacher does.

    The teacher's features of earlier images wait in a queue. How similar an image is to each of
    them is, after a softmax, what the student has to reproduce. The batch itself is in the queue
    already, so each image finds itself there.

    Args:
        config: Options of the method.
        model: Student.
        context: Facts of the run.

    Raises:
        ConfigError: The teacher cannot be had, or does not suit.
    """

    config: DistillationV1Config

    def __init__(
        self, config: DistillationV1Config, model: ModelWrapper, context: RunContext
    ) -> None:
        super().__init__(config, model, context)
        self.head = mlp([model.feature_dim(), self.teacher.dim], init_std=_INIT_STD)
        self.queue = FeatureQueue(int(config.queue_size), self.teacher.dim)

    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return (K,)."""
        return {"pooled": (self.teacher.dim,)}

    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled features (B, K)."""
        return (self.teacher.pooled(images),)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the KL of the similarities to the queue, in nats.

        Args:
            batch: ``views`` holds one tensor (B, C, H, W).
            step: Not used.
        """
        images = self.images(batch)
        (target,) = self.targets(batch, images)  # (B, K)
        predicted = self.head(self.pooled(self.model.forward_features(images)))  # (B, K)
        self.queue.push(target)
        loss = queue_kl(predicted, target, self.queue.rows(), self.config.temperature)
        return StepResult(loss, {"teacher/cosine": agreement(predicted, target)})


class DistillationV2(Distillation):
    """Predict the teacher's features at every position of the image.

    Args:
        config: Options of the method.
        model: Student.
        context: Facts of the run.

    Raises:
        ConfigError: The teacher cannot be had, or has a single position.
    """

    config: DistillationV2Config

    def __init__(
        self, config: DistillationV2Config, model: ModelWrapper, context: RunContext
    ) -> None:
        super().__init__(config, model, context)
        hidden = [config.projection_hidden_dim] * (config.n_projection_layers - 1)
        width = self.teacher.map_shape(config.n_teacher_blocks)[0]
        self.head = mlp(
            [model.feature_dim(), *hidden, width],
            norm="layer",
            activation="gelu",
            init_std=_INIT_STD,
        )

    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return (K, h, w)."""
        blocks = self.config.n_teacher_blocks
        return {f"map{blocks}": self.teacher.map_shape(blocks)}

    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map (B, K, h, w)."""
        return (self.teacher.feature_map(images, self.config.n_teacher_blocks),)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distance of the features, by default their mean squared difference.

        Args:
            batch: ``views`` holds one tensor (B, C, H, W).
            step: Not used.
        """
        images = self.images(batch)
        (target,) = self.targets(batch, images)  # (B, K, h, w)
        features = self.model.forward_features(images)
        predicted = project_map(features["features"], self.head, target.shape[2:])  # (B, N, K)
        loss = feature_regression(predicted, tokens(target), self.config.loss)
        # Weights that only the pooling has get a gradient of 0: several processes wait for one.
        loss = loss + 0 * self.pooled(features).float().sum()
        return StepResult(loss, {"teacher/cosine": agreement(predicted, tokens(target))})


class DistillationV3(Distillation):
    """Compare images with each other, and the parts of each image, as the teacher does.

    The first is `DistillationV1`. The second asks for every position of an image how similar it is
    to each other position of it.

    Args:
        config: Options of the method.
        model: Student.
        context: Facts of the run.

    Raises:
        ConfigError: The teacher cannot be had, or has a single position.
    """

    config: DistillationV3Config

    def __init__(
        self, config: DistillationV3Config, model: ModelWrapper, context: RunContext
    ) -> None:
        super().__init__(config, model, context)
        dim = model.feature_dim()
        self.global_head = mlp([dim, self.teacher.dim], init_std=_INIT_STD)
        self.local_head = mlp([dim, self.teacher.map_shape(1)[0]], init_std=_INIT_STD)
        self.queue = FeatureQueue(int(config.queue_size), self.teacher.dim)

    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return (K,) and (K, h, w)."""
        return {"pooled": (self.teacher.dim,), "map1": self.teacher.map_shape(1)}

    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled features (B, K) and the feature map (B, K, h, w)."""
        return self.teacher.pooled_and_map(images)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute both comparisons, each a KL in nats.

        Args:
            batch: ``views`` holds one tensor (B, C, H, W).
            step: Not used.
        """
        config = self.config
        images = self.images(batch)
        target, target_map = self.targets(batch, images)  # (B, K), (B, K, h, w)
        features = self.model.forward_features(images)
        predicted = self.global_head(self.pooled(features))  # (B, K)
        parts = project_map(features["features"], self.local_head, target_map.shape[2:])
        self.queue.push(target)
        global_loss = queue_kl(predicted, target, self.queue.rows(), config.temperature_global)
        local_loss = relational_kl(
            parts, tokens(target_map), config.temperature_local, config.local_chunk_size
        )
        return StepResult(
            global_loss + config.loss_local_weight * local_loss,
            {
                "train_loss/global": global_loss.detach(),
                "train_loss/local": local_loss.detach(),
                "teacher/cosine": agreement(predicted, target),
            },
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """Weaken the decay where the student is made of convolutions and batch norm."""
        groups = super().parameter_groups()
        model: nn.Module = self.model.get_model()
        if not is_conv_with_batch_norm(model):
            return groups
        return [
            replace(group, weight_decay=group.weight_decay * self.config.conv_decay_factor)
            for group in groups
        ]
