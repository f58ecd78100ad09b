"""ReSA as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.methods.groups import all_decayed
from lightly_core.methods.inputs import as_module, check_batch, global_views, pooled_features
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.distributed import gather, rank
from lightly_core.parts.heads import mlp
from lightly_core.parts.spread import direction_std
from lightly_methods.siamese.resa_config import ReSAConfig
from lightly_methods.siamese.resa_loss import assignment_loss, self_assignment


class ReSA(TeacherMethod[ReSAConfig]):
    """Take from the backbone which images are alike, and teach it to the projections.

    The backbone's features form better groups than the projections do. How alike they are in a
    weakly changed first view, made even and sharp, is what the projections of all views are to
    reproduce. Good neighbours after few epochs, on one GPU. Watch ``assignment/own``, the share
    that an image keeps for itself: at 1 it is told from all others, at 1 / N all are alike.
    https://arxiv.org/abs/2501.18452

    As in the paper's code, weight decay applies to biases and norms too. Small local views are the
    student's only; they are made like the first view, where the paper changes their colours.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; projector and predictor are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two views of an image or two images on a process.
    """

    def __init__(self, config: ReSAConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "resa", per_process=2)
        width, hidden = config.output_dim, config.hidden_dim
        self.projector = mlp(
            [model.feature_dim(), *[hidden] * (config.num_layers - 1), width],
            norm="batch",
            last_norm="no_affine",
        )
        self.predictor: nn.Module = nn.Identity()
        if config.predictor:
            self.predictor = mlp([width, hidden, width], norm="batch")
        # As in the paper's code the teacher's batch norms use the batches that it sees.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of; it has no predictor."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything."""
        return all_decayed(self)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step; each view goes through the networks alone.

        Args:
            batch: The weak view (B, C, H, W), the strong one, then local ones.
            step: Optimizer steps taken so far.

        Returns:
            Cross-entropy in nats.
        """
        config = self.config
        keys, targets = self._teach(global_views(batch, self.context, "resa"))
        features = [pooled_features(self.model, view) for view in batch.views]
        projections = [self.projector(x) for x in features]
        embeddings = [self.predictor(z) for z in projections]  # S times (B, P)
        assignment = self_assignment(
            features[0], keys, config.sinkhorn_temperature, config.sinkhorn_iterations
        )  # (B, N)
        own = assignment.narrow(1, rank() * len(assignment), len(assignment)).diagonal().mean()
        return StepResult(
            assignment_loss(assignment, embeddings, targets, config.temperature),
            {
                "assignment/own": own,
                "projection/std": direction_std(projections[0]),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    @torch.no_grad()
    def _teach(self, views: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the teacher's features of the first view (N, D), projections of all (N, P)."""
        features = [pooled_features(self.teacher["backbone"], view) for view in views]
        projections = [gather(self.teacher["projector"](x)) for x in features]
        return gather(features[0]), projections
