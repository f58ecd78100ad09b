"""CAPI: predict the clusters of a teacher's hidden patches (Darcet et al. 2025, arXiv:2502.08769).

Shapes: B images on this process, N = h * w patches, S visible ones, M predicted ones, D features,
K clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.optim.groups import ParameterGroup, split_by_factor
from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.masking import inverse_block_mask
from lightly_core.parts.prototypes import Prototypes
from lightly_core.parts.schedules import capped_warmup, scheduled
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.masked.capi_config import CAPIConfig
from lightly_methods.masked.patches import Grid, check_ratio, split, take
from lightly_methods.masked.predictor import PatchPredictor

# The momentum falls from 1 to its start along the paper's warm-up of the learning rate, which is
# at most this fraction of the run.
_WARMUP_STEPS = 50_000
_WARMUP_FRACTION = 0.1


@dataclass(frozen=True)
class InverseBlock:
    """Hides all patches but one block, and samples which hidden patches are predicted.

    Attributes:
        grid: (h, w).
        ratio: Fraction of hidden patches.
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


class CAPI(TeacherMethod[CAPIConfig]):
    """Predict to which clusters the teacher's patches belong that the student does not see.

    The clusters are learned at the same time from the teacher's patches. It gives good features of
    patches, for segmentation. It needs much data and large batches, and the paper pools with
    attention. https://arxiv.org/abs/2502.08769

    The student is backbone, predictor and head. The teacher is an EMA of the backbone.

    Differs from the paper's code:

    - Positions in the predictor are sines that are added, not rotations. The backbone keeps its
      own.
    - The predictor sees all prefix tokens of the backbone.
    - Clusters keep their initial length of sqrt(D), so that the temperatures keep their meaning.
      They share the optimizer, with a learning rate of their own.
    - Number of clusters and fraction of predicted patches follow the size of data and batch.
    - The learning rate falls along a whole cosine, and the patch embedding's is not reduced.
    - Norms are not decayed at all, instead of a tenth. Neither are the gains of the student's
      head.
    """

    def build(self) -> None:
        """Create predictor, head and clusters, which are dropped after training; the teacher."""
        config, dim = self.config, self.model.feature_dim()
        grid = self.token_model.token_grid(*self.context.image_size)
        self.masks = self._masks(grid)
        predictor_dim = config.predictor_dim or dim
        self.predictor = PatchPredictor(
            dim,
            predictor_dim,
            depth=config.predictor_depth,
            num_heads=_num_heads(self.name, predictor_dim, config.predictor_head_dim),
            grid=grid,
            output_dim=None,
            cross=True,
        )
        self.head = PredictionHead(predictor_dim, int(config.num_clusters))
        self.clustering = ClusterHead(dim, int(config.num_clusters))
        self.add_teacher(batch_norm="student_statistics")

    def _masks(self, grid: Grid) -> InverseBlock:
        ratio, num_patches = self.config.mask_ratio, math.prod(grid)
        num_hidden = round(ratio * num_patches)
        check_ratio(self.name, ratio, num_hidden, num_patches)
        num_predicted = max(1, round(float(self.config.predicted_share) * num_hidden))
        return InverseBlock(grid, ratio, num_predicted)

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum: it falls from 1 in the warm-up, then it rises again."""
        total = self.context.total_steps
        return scheduled(
            step,
            total,
            kind="cosine",
            start=float(self.config.momentum_start),
            end=self.config.momentum_end,
            warmup_steps=capped_warmup(_WARMUP_STEPS, total, _WARMUP_FRACTION),
            warmup_start=1.0,
        )

    def sample_extras(self) -> InverseBlock:
        """Return the sampler of ``keep`` (S,) and ``predict`` (M,)."""
        return self.masks

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the clusters a learning rate of their own."""
        factor = self.config.clustering_lr_factor
        factors = {id(p): factor for p in self.clustering.parameters()}
        return split_by_factor(super().parameter_groups(), factors)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the cross-entropies of the clustering and of the prediction.

        The former trains the clusters only, the latter the student only.

        Args:
            batch: One view (B, C, H, W); extras ``keep`` (B, S) and ``predict`` (B, M).
            step: Not used.

        Returns:
            The loss in nats.
        """
        config = self.config
        (images,) = batch.views
        keep, predict = batch.extra("keep"), batch.extra("predict")
        with torch.no_grad():
            patches = self.teacher.token_model.forward_tokens(images)["patch_tokens"]  # (B, N, D)
        logits = self.clustering(patches)  # (B, N, K)
        assignments = assign(logits, config.target_temperature, config.sinkhorn_iterations)
        clustering = soft_cross_entropy(assignments, logits, config.student_temperature).mean()

        tokens = self.token_model.forward_tokens(images, keep=keep)
        prediction = self.head(self.predictor(tokens, keep, predict))  # (B, M, K)
        targets = take(assignments, predict)  # (B, M, K)
        cross_entropy = soft_cross_entropy(targets, prediction, config.student_temperature).mean()
        return StepResult(
            cross_entropy + clustering,
            {
                "train_loss/cross_entropy": cross_entropy.detach(),
                "train_loss/clustering": clustering.detach(),
            },
        )


class PredictionHead(nn.Module):
    """Predict the cluster of a patch: the student's head, a weight-normalised layer.

    Logits are cosines times a learned gain for each cluster, which starts at 1. The first
    predictions are therefore near uniform, and their cross-entropy starts near log K.

    Args:
        dim: Features of the predictor.
        num_clusters: K.
    """

    def __init__(self, dim: int, num_clusters: int) -> None:
        super().__init__()
        self.prototypes = Prototypes(dim, num_clusters, learn_gain=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, M, K) of x (B, M, dim)."""
        return self.prototypes.cosines(x)


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
        """Return logits (B, N, K) of x (B, N, D)."""
        return self.length * self.prototypes.cosines(x) + self.bias


def assign(logits: Tensor, temperature: float, num_iterations: int) -> Tensor:
    """Assign patches to clusters, equally many to each cluster at each position.

    The patches of one position are assigned together, over the images of all processes. Otherwise
    clusters would represent positions in the image (the paper's positionwise Sinkhorn).

    Args:
        logits: (B, N, K).
        temperature: > 0; smaller is sharper.
        num_iterations: Of Sinkhorn, >= 1.

    Returns:
        Probabilities (B, N, K), at least float32, no gradient.
    """
    by_position = logits.detach().transpose(0, 1)  # (N, B, K)
    return sinkhorn(by_position, temperature, num_iterations=num_iterations).transpose(0, 1)


def _num_heads(method: str, dim: int, head_dim: int) -> int:
    """Return the number of heads of the predictor."""
    if dim % head_dim or dim % 4:
        raise ConfigError(
            f"method '{method}' got a predictor of width {dim} and heads of width {head_dim}, "
            "expected the width to be a multiple of that of the heads, and of 4; set "
            "method_args.predictor_dim or method_args.predictor_head_dim"
        )
    return dim // head_dim
