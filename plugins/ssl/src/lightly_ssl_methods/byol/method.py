"""BYOL as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.inputs import as_module, check_batch, global_views, pooled_features
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.heads import mlp
from lightly_core.parts.spread import direction_std
from lightly_ssl_methods.byol.config import BYOLConfig
from lightly_ssl_methods.byol.loss import byol_loss


class BYOL(TeacherMethod[BYOLConfig]):
    """Predict what a slow copy of the network makes of another view.

    The copy, the teacher, is an average of past students. A good all-round method for
    convolutional networks; it wants batch norms that see many images, so small batches on a
    process are its weak side. Watch ``projection/std``: it falls to 0 in a collapse.
    https://arxiv.org/abs/2006.07733

    More than two global views are used in all pairs; small local views are the student's only.
    Both are additions to the paper.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and predictor are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two views of an image or two images on a process.
    """

    def __init__(self, config: BYOLConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "byol", per_process=2)
        width = config.output_dim
        self.projector = mlp([model.feature_dim(), config.hidden_dim, width], norm="batch")
        self.predictor = mlp([width, config.predictor_hidden_dim, width], norm="batch")
        # As in the paper the teacher's batch norms use the batches that it sees.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of; it has no predictor."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step; each view goes through the networks alone.

        Args:
            batch: Global views (B, C, H, W), then local ones.
            step: Optimizer steps taken so far.

        Returns:
            Squared distances of directions, in [0, 8].
        """
        teacher = self.teacher
        with torch.no_grad():
            targets = [
                teacher["projector"](pooled_features(teacher["backbone"], view))
                for view in global_views(batch, self.context, "byol")
            ]  # T times (B, P)
        projections = [self.projector(pooled_features(self.model, view)) for view in batch.views]
        predictions = [self.predictor(z) for z in projections]  # S times (B, P)
        return StepResult(
            byol_loss(predictions, targets),
            {
                "projection/std": direction_std(projections[0]),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )
