"""CAPI as a method of lightly-core."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import check_batch
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.optim.groups import ParameterGroup, split_by_factor
from lightly_core.parts.masking import inverse_block_mask
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.prototypes import Prototypes
from lightly_core.parts.schedules import capped_warmup, scheduled
from lightly_methods.masked.capi_config import CAPIConfig
from lightly_methods.masked.capi_loss import assign, cluster_loss
from lightly_methods.masked.masks import check_ratio, split
from lightly_methods.masked.patches import Grid, as_tokens, extra, only_view, patch_grid, take
from lightly_methods.masked.predictor import PatchPredictor

# The teacher stands still at first and is let go along the paper's warm-up of the learning rate.
_WARMUP_STEPS = 50_000
_WARMUP_SHARE = 0.1


@dataclass(frozen=True)
class InverseBlock:
    """Hides all but one block, and draws which hidden patches are predicted.

    Attributes:
        grid: (h, w).
        ratio: Share of hidden patches.
        num_predicted: M, how many of them are predicted.
    """

    grid: Grid
    ratio: float
    num_predicted: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the patch numbers ``keep`` (S,) and ``predict`` (M,), int64."""
        patches = split(inverse_block_mask(rng, self.grid, self.ratio))
        chosen = rng.permutation(len(patches["hidden"]))[: self.num_predicted]
        return {
            "keep": patches["keep"],
            "predict": patches["hidden"][torch.from_numpy(np.sort(chosen))],
        }


class PredictionHead(nn.Module):
    """Predict the cluster of a patch: the student's head, a weight-normalised layer.

    Logits are cosines times a learned gain for each cluster, which starts at 1. The first
    predictions are therefore near uniform, and their cross-entropy starts near log K.

    Args:
        dim: D.
        num_clusters: K.
    """

    def __init__(self, dim: int, num_clusters: int) -> None:
        super().__init__()
        self.prototypes = Prototypes(dim, num_clusters, learn_gain=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, M, K), at least float32, of x (B, M, D)."""
        with no_autocast(x.device):
            logits: Tensor = self.prototypes(F.normalize(single(x), dim=-1))
        return logits


class ClusterHead(nn.Module):
    """Compare the teacher's patches, normalised to length 1, with K clusters of length sqrt(D).

    Args:
        dim: D.
        num_clusters: K.
    """

    def __init__(self, dim: int, num_clusters: int) -> None:
        super().__init__()
        self.length = math.sqrt(dim)
        self.prototypes = Prototypes(dim, num_clusters)
        self.bias = nn.Parameter(torch.zeros(num_clusters))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, N, K), at least float32, of x (B, N, D)."""
        with no_autocast(x.device):
            cosines: Tensor = self.prototypes(F.normalize(single(x), dim=-1))
        return self.length * cosines + self.bias


class CAPI(TeacherMethod[CAPIConfig]):
    """Predict to which clusters the teacher's patches belong that the student does not see.

    The clusters are learned on the side from the teacher's patches. Good features of patches, for
    segmentation. It wants much data and large batches, and the paper pools with attention.
    https://arxiv.org/abs/2502.08769

    What differs from the paper's code:

    - Positions in the predictor are sines that are added, not rotations; the backbone keeps its
      own.
    - The predictor sees all prefix tokens of the backbone.
    - Clusters keep their initial length of sqrt(D), so that the temperatures keep their meaning.
      They share the optimizer, with a rate of their own.
    - Number of clusters and share of predicted patches follow the size of data and batch.
    - The learning rate falls along a whole cosine, and the patch embedding's is not reduced.
    - Norms are not decayed at all, instead of a tenth, and neither are the gains of the student's
      head.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, with patch tokens; all else is dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: The backbone has no patch tokens, the image is no whole number of patches, all
            or none of them would be hidden, the predictor's width is no multiple of its heads', or
            the batch is one image.
    """

    def __init__(self, config: CAPIConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.grid = patch_grid(model, context, "capi")
        check_batch(context, "capi")
        num_patches = self.grid[0] * self.grid[1]
        hidden = round(config.mask_ratio * num_patches)
        check_ratio("capi", config.mask_ratio, hidden, num_patches)
        dim = config.predictor_dim or model.feature_dim()
        self.predictor = PatchPredictor(
            model.feature_dim(),
            dim,
            depth=config.predictor_depth,
            num_heads=_num_heads(dim, config.predictor_head_dim),
            grid=self.grid,
            output_dim=None,
            cross=True,
        )
        num_clusters = int(config.num_clusters)
        self.head = PredictionHead(dim, num_clusters)
        self.clustering = ClusterHead(model.feature_dim(), num_clusters)
        self.teacher = Teacher(self.student())

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum: down from 1 in the warm-up, then up again."""
        total = self.context.total_steps
        return scheduled(
            step,
            total,
            kind="cosine",
            start=float(self.config.momentum_start),
            end=self.config.momentum_end,
            warmup_steps=capped_warmup(_WARMUP_STEPS, total, _WARMUP_SHARE),
            warmup_start=1.0,
        )

    def sample_extras(self) -> InverseBlock:
        """Return what draws ``keep`` and ``predict``."""
        config = self.config
        num_hidden = round(config.mask_ratio * self.grid[0] * self.grid[1])
        num_predicted = max(1, round(float(config.predicted_share) * num_hidden))
        return InverseBlock(self.grid, config.mask_ratio, num_predicted)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the clusters a learning rate of their own."""
        factor = self.config.clustering_lr_factor
        factors = {id(p): factor for p in self.clustering.parameters()}
        return split_by_factor(super().parameter_groups(), factors)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: One view (B, C, H, W), and the extras.
            step: Optimizer steps taken so far.

        Returns:
            Cross-entropies of the prediction and of the clustering, in nats. The latter trains the
            clusters only.
        """
        config = self.config
        images = only_view(batch, "capi")
        keep, predict = extra(batch, "keep"), extra(batch, "predict")  # (B, S) and (B, M)
        with torch.no_grad():
            whole = as_tokens(self.teacher["backbone"]).forward_tokens(images)
        logits = self.clustering(whole["patch_tokens"])  # (B, N, K)
        targets = assign(logits, config.target_temperature, config.sinkhorn_iterations)
        clustering = cluster_loss(targets, logits, config.student_temperature)
        tokens = as_tokens(self.model).forward_tokens(images, keep=keep)
        prediction = self.head(self.predictor(tokens, keep, predict))  # (B, M, K)
        wanted = take(targets, predict)  # (B, M, K)
        cross_entropy = cluster_loss(wanted, prediction, config.student_temperature)
        return StepResult(
            cross_entropy + clustering,
            {
                "train_loss/cross_entropy": cross_entropy.detach(),
                "train_loss/clustering": clustering.detach(),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )


def _num_heads(dim: int, head_dim: int) -> int:
    """Return the number of heads of the predictor."""
    if dim % head_dim or dim % 4:
        raise ConfigError(
            f"method 'capi' got a predictor of width {dim} and heads of width {head_dim}, expected "
            "the width to be a multiple of that of the heads, and of 4; set "
            "method_args.predictor_dim or method_args.predictor_head_dim"
        )
    return dim // head_dim
