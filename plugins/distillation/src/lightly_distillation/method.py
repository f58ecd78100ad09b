"""The three distillations: learn to compute what a large trained network computes.

Shapes: B images, C channels, K features of the teacher, h and w positions of its feature map,
N = h * w, Q rows of the queue.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lightly_core.contracts import Batch, StepResult
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

#: Standard deviation of the normal distribution from which the weights of heads are sampled.
_INIT_STD = 0.02


class DistillationV1(Distillation[DistillationV1Config]):
    """Reproduce how similar the teacher finds an image to earlier ones.

    A queue holds the teacher's features of earlier images. The softmax of the similarities of an
    image to its rows is the target of the student. The batch is pushed before the similarities are
    computed, so each image finds itself in the queue. Only pooled features are trained.
    """

    def build(self) -> None:
        """Create the teacher, the student's head and the queue."""
        super().build()
        dim = self.teacher.dim
        self.head = mlp([self.model.feature_dim(), dim], init_std=_INIT_STD)
        self.queue = FeatureQueue(int(self.config.queue_size), dim)

    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return (K,)."""
        return {"pooled": (self.teacher.dim,)}

    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled features (B, K)."""
        return (self.teacher.pooled(images),)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute `queue_kl`, in nats.

        Args:
            batch: One view (B, C, H, W).
            step: Not used.
        """
        images = self.images(batch)
        (target,) = self.targets(batch, images)  # (B, K)
        predicted = self.head(self.pool(images))  # (B, K)
        self.queue.push(target)
        loss = queue_kl(predicted, target, self.queue.rows(), self.config.temperature)
        return StepResult(loss, {"teacher/cosine": agreement(predicted, target)})


class DistillationV2(Distillation[DistillationV2Config]):
    """Predict the teacher's features at every position of the image.

    The first choice if a trained teacher is available. The teacher needs a feature map.
    """

    def build(self) -> None:
        """Create the teacher and the student's head."""
        super().build()
        config = self.config
        hidden = [config.projection_hidden_dim] * (config.n_projection_layers - 1)
        teacher_dim, _, _ = self.teacher.map_shape(config.n_teacher_blocks)
        self.head = mlp(
            [self.model.feature_dim(), *hidden, teacher_dim],
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
        """Compute `feature_regression`, by default the mean squared error.

        Args:
            batch: One view (B, C, H, W).
            step: Not used.
        """
        images = self.images(batch)
        (target,) = self.targets(batch, images)  # (B, K, h, w)
        features = self.model.forward_features(images)
        predicted = project_map(features["features"], self.head, target.shape[2:])  # (B, N, K)
        loss = feature_regression(predicted, tokens(target), self.config.loss)
        # DDP expects a gradient for all weights, also for those that only the pooling uses.
        loss = loss + 0 * self.pooled(features).float().sum()
        return StepResult(loss, {"teacher/cosine": agreement(predicted, tokens(target))})


class DistillationV3(Distillation[DistillationV3Config]):
    """Reproduce how similar the teacher finds images to each other, and parts of an image.

    The global loss is that of `DistillationV1`. The local loss compares every position of an image
    with all positions of the same image. Student and teacher need feature maps, and images must be
    large enough for parts to matter.
    """

    def build(self) -> None:
        """Create the teacher, two heads of the student and the queue."""
        super().build()
        dim, teacher_dim = self.model.feature_dim(), self.teacher.dim
        self.global_head = mlp([dim, teacher_dim], init_std=_INIT_STD)
        self.local_head = mlp([dim, self.teacher.map_shape(1)[0]], init_std=_INIT_STD)
        self.queue = FeatureQueue(int(self.config.queue_size), teacher_dim)

    def target_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return (K,) and (K, h, w)."""
        return {"pooled": (self.teacher.dim,), "map1": self.teacher.map_shape(1)}

    def compute_targets(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the pooled features (B, K) and the feature map (B, K, h, w)."""
        return self.teacher.pooled_and_map(images)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the global loss `queue_kl` and the local loss `relational_kl`, in nats.

        Args:
            batch: One view (B, C, H, W).
            step: Not used.
        """
        config = self.config
        images = self.images(batch)
        target, target_map = self.targets(batch, images)  # (B, K), (B, K, h, w)
        features = self.model.forward_features(images)
        predicted = self.global_head(self.pooled(features))  # (B, K)
        grid = target_map.shape[2:]
        local = project_map(features["features"], self.local_head, grid)  # (B, N, K)
        self.queue.push(target)
        global_loss = queue_kl(predicted, target, self.queue.rows(), config.temperature_global)
        local_loss = relational_kl(
            local, tokens(target_map), config.temperature_local, config.local_chunk_size
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
        """Reduce the decay if the student consists of convolutions and batch norm."""
        groups = super().parameter_groups()
        if not is_conv_with_batch_norm(self.model.get_model()):
            return groups
        return [
            replace(group, weight_decay=group.weight_decay * self.config.conv_decay_factor)
            for group in groups
        ]
