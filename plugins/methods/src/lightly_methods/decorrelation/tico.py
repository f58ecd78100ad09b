"""TiCo as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import as_module, check_batch
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.cosine import cosine_distance
from lightly_methods.decorrelation.joint import all_views, project, projector
from lightly_methods.decorrelation.tico_config import TiCoConfig
from lightly_methods.decorrelation.tico_loss import batch_moment, covariance_contrast


class TiCo(TeacherMethod[TiCoConfig]):
    """Follow a teacher, and keep away from the directions that past projections took.

    The second moments of past projections are an unlimited queue in little room.
    https://arxiv.org/abs/2206.10698

    Args:
        config: Options of the method.
        model: Backbone to pretrain; all else is dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or other than two views.
    """

    moment: Tensor

    def __init__(self, config: TiCoConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "tico", per_process=2)
        self.projector = projector(model, config, last_bias=True)
        # As BYOL's: batch norms use the batches that the teacher sees.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")
        self.register_buffer("moment", torch.zeros(config.output_dim, config.output_dim))
        self._pending: list[Tensor] = []

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: The student's view and the teacher's, (B, C, H, W) each.
            step: Optimizer steps taken so far.

        Returns:
            The loss, and its two terms without weights.
        """
        first, second = all_views(batch, self.context, "tico", 2)
        (projections,) = project(self.model, self.projector, [first])  # (B, P)
        with torch.no_grad():
            (targets,) = project(self.teacher["backbone"], self.teacher["projector"], [second])
        moment = batch_moment(projections)  # (P, P)
        self._pending.append(moment)
        invariance = cosine_distance(projections, targets)
        contrast = covariance_contrast(projections, self._remembered(moment))
        return StepResult(
            invariance + self.config.contrast_weight * contrast,
            {
                "train_loss/invariance": invariance.detach(),
                "train_loss/contrast": contrast.detach(),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    def after_step(self, step: int) -> None:
        """Let the teacher follow, and remember the step's projections.

        Once a step, not once a batch: several batches may add up to one step.
        """
        super().after_step(step)
        self.moment.copy_(self._remembered(torch.stack(self._pending).mean(dim=0)))
        self._pending.clear()

    def _remembered(self, moment: Tensor) -> Tensor:
        """Return the second moments (P, P) of the past and of this step."""
        return torch.lerp(moment, self.moment.to(moment.dtype), self.config.memory_momentum)
