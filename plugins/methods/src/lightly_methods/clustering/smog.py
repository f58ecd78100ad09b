"""SMoG as a method of lightly-core.

Shapes: B images on this process, V views of which G are global, D width of the projections,
K groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import as_module, check_batch, global_views, pooled_features
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.heads import mlp
from lightly_core.parts.kmeans import draw_rows, nearest_centroids, spherical_kmeans
from lightly_core.parts.multicrop import dino_loss, forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.queue import FeatureQueue
from lightly_methods.clustering.smog_config import SMoGConfig
from lightly_methods.clustering.smog_loss import updated_groups


class SMoG(TeacherMethod[SMoGConfig]):
    """Contrast images with groups of images, which follow the features in every step.

    A teacher says to which group a view belongs; the student predicts this from the other views.
    The groups move to the student's features of the same step before they are compared with, so
    that the loss trains features also through the groups. Now and then k-means finds the groups
    anew among the latest features, lest some of them stay empty. https://arxiv.org/abs/2207.06167

    What differs from other code: every pair of a teacher's view and another view of the student
    counts in each step, instead of one view for each that are swapped every other step. Groups are
    averages of vectors of length 1 and are brought back to it. The teacher is not set to the
    student when groups are found anew.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; heads and groups are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: There is a single view, the batch is too small, or the bank of features has
            fewer rows than there are groups.
    """

    def __init__(self, config: SMoGConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        check_batch(context, "smog", per_process=2)
        dim, hidden_dim = config.output_dim, config.hidden_dim
        num_groups, bank_size = int(config.num_groups), int(config.bank_size)
        if bank_size < num_groups:
            raise ConfigError(
                f"method 'smog' got bank_size={bank_size} and num_groups={num_groups}, expected a "
                "bank with at least as many features as there are groups; set a larger "
                "method_args.bank_size, or a smaller method_args.num_groups"
            )
        self.projector = mlp(
            [model.feature_dim(), hidden_dim, dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp([dim, hidden_dim, dim], norm="batch")
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")
        self.bank = FeatureQueue(bank_size, dim)
        self.groups: Tensor
        self.register_buffer("groups", F.normalize(torch.randn(num_groups, dim), dim=1))

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of; the predictor is the student's alone."""
        return {"backbone": as_module(self.model), "projector": self.projector}

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all pairs of different views, in nats.

        Args:
            batch: V views (B, C, H, W), the G global ones first.
            step: Optimizer steps taken so far.
        """
        config, views = self.config, batch.views
        seen = global_views(batch, self.context, "smog")
        num_global = len(seen)
        with torch.no_grad():
            targets = _unit(_project(self.teacher, seen))  # (G * B, D)
            assigned = nearest_centroids(targets, self.groups)  # (G * B,)
        projections = _project(self.student(), views)  # (V * B, D)
        own = _unit(projections)[: len(targets)]  # (G * B, D)
        groups = updated_groups(self.groups, own, config.group_momentum)  # (K, D)
        self._remember(groups, own.reshape(num_global, -1, config.output_dim))
        predictions = _unit(self.predictor(projections))  # (V * B, D)
        with no_autocast(predictions.device):
            cosines = predictions @ groups.T  # (V * B, K)
        one_hot = F.one_hot(assigned, len(groups)).to(cosines.dtype)  # (G * B, K)
        loss = dino_loss(
            one_hot.reshape(num_global, -1, len(groups)),  # (G, B, K)
            cosines.reshape(len(views), -1, len(groups)),  # (V, B, K)
            config.temperature,
        )
        return StepResult(
            loss,
            {
                "train_loss/cross_entropy": loss.detach(),
                "groups/used": one_hot.amax(dim=0).mean(),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    def after_step(self, step: int) -> None:
        """Let the teacher follow, and now and then find the groups anew."""
        super().after_step(step)
        interval = self.config.reset_interval
        if interval and step % interval == 0 and len(self.bank) >= len(self.groups):
            rows = self.bank.rows()
            # The same numbers on all processes, whose banks are equal.
            generator = torch.Generator().manual_seed(step)
            start = draw_rows(rows, len(self.groups), generator)
            iterations = self.config.kmeans_iterations
            self.groups.copy_(spherical_kmeans(rows, start, num_iterations=iterations))

    @torch.no_grad()
    def _remember(self, groups: Tensor, projections: Tensor) -> None:
        """Keep groups (K, D), and projections (G, B, D) for k-means."""
        self.groups.copy_(groups)
        # View by view: the bank has then the same order for any number of processes.
        for rows in projections:
            self.bank.push(rows)


def _project(network: Mapping[str, nn.Module] | nn.ModuleDict, views: list[Tensor]) -> Tensor:
    """Return projections of all views one after another, (V * B, D)."""
    pooled = torch.cat(forward_by_size(partial(pooled_features, network["backbone"]), views))
    result: Tensor = network["projector"](pooled)
    return result


def _unit(x: Tensor) -> Tensor:
    """Bring rows to length 1, in at least float32."""
    with no_autocast(x.device):
        return F.normalize(single(x), dim=-1)
