"""MMCR as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import as_module, check_batch
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_methods.decorrelation.joint import all_views, project, projector
from lightly_methods.decorrelation.mmcr_config import MMCRConfig
from lightly_methods.decorrelation.mmcr_loss import mmcr_terms


class MMCR(TeacherMethod[MMCRConfig]):
    """Let the means of the images' views point everywhere: maximum manifold capacity.

    Wants several views of each image, and batches above the width of the projection. The teacher
    sees the same views. https://arxiv.org/abs/2303.03307

    What differs from the authors' code: images of other processes get their gradients too, as with
    one process; each view is a batch of its own for batch norms.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; all else is dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or fewer than two views.
    """

    def __init__(self, config: MMCRConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "mmcr", per_process=2)
        self.projector = projector(model, config, last_bias=False)
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: ``views`` holds V tensors (B, C, H, W).
            step: Optimizer steps taken so far.

        Returns:
            The loss, and its two terms without weights.
        """
        views = all_views(batch, self.context, "mmcr", None)
        projections = project(self.model, self.projector, views)  # (V, B, P)
        with torch.no_grad():
            targets = project(self.teacher["backbone"], self.teacher["projector"], views)
        extent, manifold = mmcr_terms(projections, targets)
        weight = self.config.compression_weight
        return StepResult(
            weight * manifold - extent if weight else -extent,
            {
                "train_loss/extent": extent.detach(),
                "train_loss/manifold": manifold.detach(),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )
