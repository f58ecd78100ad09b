"""MSN as a method of lightly-core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.groups import apart
from lightly_core.methods.inputs import as_module, check_batch
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.heads import mlp
from lightly_core.parts.masking import hidden_count
from lightly_core.parts.multicrop import forward_by_size
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.prototypes import Prototypes
from lightly_core.parts.schedules import linear
from lightly_methods.masked.masks import RandomSplit
from lightly_methods.masked.msn_config import MSNConfig
from lightly_methods.masked.msn_loss import (
    anchor_cross_entropy,
    mean_probabilities,
    negative_entropy,
    sharp_targets,
)
from lightly_methods.masked.patches import as_tokens, extra, patch_grid, pool_tokens

# The teacher's momentum rises so much longer than the run, and never arrives, as in the paper.
_STRETCH = 1.25


@dataclass(frozen=True)
class AnchorPatches:
    """Draws which patches the student sees of its large views.

    Attributes:
        split: Draws them for one view.
        num_anchors: Large views of the student.
    """

    split: RandomSplit
    num_anchors: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``keep`` (num_anchors, S) int64, ascending in a row."""
        return {"keep": torch.stack([self.split(rng)["keep"] for _ in range(self.num_anchors)])}


class MSN(TeacherMethod[MSNConfig]):
    """Match views with left-out patches to the prototypes that a teacher finds in a whole view.

    The first view goes to the teacher; the other large ones, of which some patches are left out,
    and the small ones go to the student. A term on the mean prediction keeps all prototypes in
    use. Good with few labels. https://arxiv.org/abs/2204.07141

    What differs from the paper's code:

    - Prototypes get the mean of the processes' gradients, not the sum: their rate of learning does
      not depend on the number of processes.
    - Prototypes count for the clipping of the gradient like all parameters.
    - Cross-entropies are computed from logarithms; powers of probabilities underflow in half
      precision.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, with patch tokens; head and prototypes are dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: The backbone has no patch tokens, the image is no whole number of patches, all
            patches would be left out, there is one view, or the batch is too small.
    """

    def __init__(self, config: MSNConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.grid = patch_grid(model, context, self.name)
        check_batch(context, self.name, per_process=2 if config.batch_norm else 1)
        self._check_views(context.num_views)
        self._check_mask()
        self.head = mlp(
            [model.feature_dim(), config.hidden_dim, config.hidden_dim, config.output_dim],
            norm="batch" if config.batch_norm else None,
            activation="gelu",
        )
        self.prototypes = Prototypes(config.output_dim, config.num_prototypes, init="uniform")
        # As in the paper's code the teacher's batch norms use the batches that it sees.
        self.teacher = Teacher(self.student(), mode="batch_norm", buffers="keep")

    @property
    def name(self) -> str:
        """As users type the method."""
        return type(self).__name__.lower()

    def student(self) -> Mapping[str, nn.Module]:
        """Return what the teacher is a copy of; prototypes are shared by both."""
        return {"backbone": as_module(self.model), "head": self.head}

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum, on a line that ends behind the run."""
        config, total = self.config, self.context.total_steps
        start = float(config.momentum_start)
        return linear(step, start, config.momentum_end, _STRETCH * total)

    def sample_extras(self) -> AnchorPatches:
        """Return what draws ``keep``."""
        split = RandomSplit(self.grid, self.config.mask_ratio)
        return AnchorPatches(split, self.context.num_views - 1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give the prototypes no weight decay."""
        return apart(super().parameter_groups(), "prototypes", self.prototypes, weight_decay=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the loss of one step.

        Args:
            batch: The teacher's view, the student's large views, then the small ones; and extras.
            step: Optimizer steps taken so far.

        Returns:
            Cross-entropy and weighted regulariser, in nats.
        """
        config = self.config
        self._check_views(len(batch.views))
        with torch.no_grad():
            pooled = self._pool(self.teacher["backbone"], batch.views[0])
            target_cosines = self._cosines(self.teacher["head"], pooled)  # (B, K)
        targets = sharp_targets(
            target_cosines,
            config.temperature,
            config.target_sharpen_temperature,
            config.sinkhorn_iterations,
        )
        features = self._anchors(batch)  # (A * B, D)
        cosines = self._cosines(self.head, features)  # (A * B, K)
        cosines = cosines.reshape(-1, *targets.shape)  # (A, B, K)
        mean = mean_probabilities(cosines, config.temperature)  # (K,)
        cross_entropy = anchor_cross_entropy(targets, cosines, config.temperature)
        regularization = self.regularization(mean)
        return StepResult(
            cross_entropy + config.regularization_weight * regularization,
            {
                "train_loss/cross_entropy": cross_entropy.detach(),
                "train_loss/regularization": regularization.detach(),
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    def regularization(self, mean: Tensor) -> Tensor:
        """Return the term on the mean prediction (K,)."""
        return negative_entropy(mean)

    def _anchors(self, batch: Batch) -> Tensor:
        """Return the student's features of its views, large ones first, (A * B, D)."""
        num_global = self.context.num_views
        backbone = as_module(self.model)
        large = torch.cat(batch.views[1:num_global])  # ((G - 1) * B, C, H, W)
        keep = extra(batch, "keep").transpose(0, 1).flatten(0, 1)  # ((G - 1) * B, S)
        tokens = as_tokens(self.model).forward_tokens(large, keep=keep)
        small = forward_by_size(lambda x: self._pool(backbone, x), batch.views[num_global:])
        return torch.cat([pool_tokens(backbone, tokens), *small])

    def _pool(self, backbone: nn.Module, images: Tensor) -> Tensor:
        return pool_tokens(backbone, as_tokens(backbone).forward_tokens(images))

    def _cosines(self, head: nn.Module, features: Tensor) -> Tensor:
        """Return cosines with the prototypes, (R, K), of features (R, D)."""
        projections = head(features)
        with no_autocast(features.device):
            cosines: Tensor = self.prototypes(F.normalize(single(projections), dim=1))
        return cosines

    def _check_views(self, num_views: int) -> None:
        if num_views < max(2, self.context.num_views):
            raise ConfigError(
                f"method '{self.name}' got {num_views} views of an image, expected at least "
                f"{max(2, self.context.num_views)}: the first is the teacher's, the others are the "
                "student's; set transform_args.num_views=2 or more"
            )

    def _check_mask(self) -> None:
        num_patches = self.grid[0] * self.grid[1]
        if hidden_count(self.config.mask_ratio, num_patches) >= num_patches:
            raise ConfigError(
                f"method '{self.name}' got mask_ratio={self.config.mask_ratio}, which leaves out "
                f"all {num_patches} patches, expected at least one to remain; set a smaller "
                "method_args.mask_ratio, or larger images"
            )
