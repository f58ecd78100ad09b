"""MSN: match masked views with a teacher's prototypes (Assran et al. 2022, arXiv:2204.07141).

Shapes: B images on this process, G global views, A views of the student (anchors), S visible
patches, D features, K prototypes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.groups import separate_group
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.distributed import reduce_mean_with_gradient
from lightly_core.parts.heads import mlp
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.prototypes import Prototypes
from lightly_core.parts.schedules import linear
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.masked.msn_config import MSNConfig
from lightly_methods.masked.patches import RandomSplit, pool_tokens

# The schedule of the teacher's momentum is longer than the run by this factor, as in the paper:
# the momentum does not reach its final value.
_STRETCH = 1.25


@dataclass(frozen=True)
class AnchorPatches:
    """Samples which patches the student sees of its global views.

    Attributes:
        split: Samples them for one view.
        num_anchors: Global views of the student, G - 1.
    """

    split: RandomSplit
    num_anchors: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``keep`` (G - 1, S) int64, ascending in a row."""
        return {"keep": torch.stack([self.split(rng)["keep"] for _ in range(self.num_anchors)])}


class MSN(TeacherMethod[MSNConfig]):
    """Assign masked views of an image to the prototypes of a teacher that sees a whole view.

    The first view goes to the teacher. The other global views, with some patches removed,
    and the local views go to the student. A term on the mean prediction keeps all prototypes in
    use. It is good with few labels. https://arxiv.org/abs/2204.07141

    The student is backbone and head. The teacher is an EMA of both. They share the prototypes.

    Differs from the paper's code:

    - Prototypes get the mean of the processes' gradients, not the sum. How fast they learn does
      not depend on the number of processes.
    - The clipping of the gradient includes the prototypes.
    - Cross-entropies are computed from logarithms. Powers of probabilities underflow in half
      precision.
    """

    def build(self) -> None:
        """Create head and prototypes, which are dropped after training, and the teacher."""
        config = self.config
        grid = self.token_model.token_grid(*self.context.image_size)
        self.split = RandomSplit(grid, config.mask_ratio)
        self.split.require_visible(self.name)
        self.head = mlp(
            [self.model.feature_dim(), config.hidden_dim, config.hidden_dim, config.output_dim],
            norm="batch" if config.batch_norm else None,
            activation="gelu",
        )
        self.prototypes = Prototypes(config.output_dim, config.num_prototypes, init="uniform")
        self.add_teacher("head", batch_norm="own_statistics")

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum, which rises linearly until after the run."""
        start, end = float(self.config.momentum_start), self.config.momentum_end
        return linear(step, start, end, _STRETCH * self.context.total_steps)

    def sample_extras(self) -> AnchorPatches:
        """Return the sampler of ``keep`` (G - 1, S)."""
        return AnchorPatches(self.split, self.context.num_views - 1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the prototypes no weight decay."""
        groups = super().parameter_groups()
        return separate_group(groups, "prototypes", self.prototypes, weight_decay=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute cross-entropy and weighted regulariser.

        Args:
            batch: The teacher's view, the student's global views, then the local ones, each
                (B, C, H, W); extra ``keep`` (B, G - 1, S).
            step: Not used.

        Returns:
            The loss in nats.
        """
        config = self.config
        target_view, *masked_views = batch.global_views
        with torch.no_grad():
            target = self.teacher["head"](self.teacher.pool(target_view))
            target_cosines = self.prototypes.cosines(target)  # (B, K)
        targets = sharp_targets(
            target_cosines,
            config.temperature,
            config.target_sharpen_temperature,
            config.sinkhorn_iterations,
        )

        keep = batch.extra("keep").transpose(0, 1).flatten(0, 1)  # ((G - 1) * B, S)
        tokens = self.token_model.forward_tokens(torch.cat(masked_views), keep=keep)
        masked = pool_tokens(self.model, tokens)  # ((G - 1) * B, D)
        local = forward_by_size(self.pool, batch.local_views)  # (B, D) each
        anchors = self.head(torch.cat([masked, *local]))  # (A * B, output_dim)
        cosines = self.prototypes.cosines(anchors).reshape(-1, *targets.shape)  # (A, B, K)

        cross_entropy = soft_cross_entropy(targets, cosines, config.temperature).mean()
        regularization = self.regularization(mean_probabilities(cosines, config.temperature))
        return StepResult(
            cross_entropy + config.regularization_weight * regularization,
            {
                "train_loss/cross_entropy": cross_entropy.detach(),
                "train_loss/regularization": regularization.detach(),
            },
        )

    def regularization(self, mean: Tensor) -> Tensor:
        """Return the term on the mean prediction (K,) of `mean_probabilities`."""
        return negative_entropy(mean)


def sharp_targets(
    cosines: Tensor, temperature: float, sharpen_temperature: float, num_iterations: int
) -> Tensor:
    """Return what the student is to predict.

    The teacher's probabilities are raised to the power 1 / `sharpen_temperature` and normalised to
    sum 1 in each row. Sinkhorn's iterations then assign an equal part of all images to each
    prototype.

    Args:
        cosines: Of the teacher's view with the prototypes, (B, K).
        temperature: Of the softmax, > 0.
        sharpen_temperature: > 0; 1 leaves the probabilities as they are.
        num_iterations: Of Sinkhorn, >= 0.

    Returns:
        (B, K), at least float32, no gradient; rows sum to 1.
    """
    with torch.no_grad(), no_autocast(cosines.device):
        # The power of a softmax is the softmax of a multiple.
        logs = F.log_softmax(single(cosines) / (temperature * sharpen_temperature), dim=1)
        if num_iterations == 0:
            return logs.exp()
        return sinkhorn(logs, 1.0, num_iterations=num_iterations)


def mean_probabilities(cosines: Tensor, temperature: float) -> Tensor:
    """Return the mean prediction of all anchors on all processes, with gradient.

    Args:
        cosines: (A, B, K).
        temperature: Of the softmax, > 0.

    Returns:
        (K,), at least float32; sums to 1.
    """
    with no_autocast(cosines.device):
        probabilities = F.softmax(single(cosines) / temperature, dim=2)
    return reduce_mean_with_gradient(probabilities.mean(dim=(0, 1)))


def negative_entropy(mean: Tensor) -> Tensor:
    """Return ``log(K) + sum over k of mean[k] * log(mean[k])``, MSN's regulariser.

    Args:
        mean: From `mean_probabilities`, (K,).

    Returns:
        Scalar in nats; 0 where all prototypes are used equally, log(K) where one is.
    """
    return math.log(len(mean)) + torch.xlogy(mean, mean).sum()
