"""I-JEPA: predict a teacher's features of hidden blocks (Assran et al. 2023, arXiv:2301.08243).

Shapes: B images on this process, N = h * w patches, S visible ones, T target blocks of M patches,
D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.masking import multi_block
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.schedules import linear
from lightly_methods.masked.ijepa_config import IJEPAConfig
from lightly_methods.masked.patches import Grid, take
from lightly_methods.masked.predictor import PatchPredictor


@dataclass(frozen=True)
class TargetBlocks:
    """Samples context and targets of an image; see `lightly_core.parts.masking.multi_block`.

    Attributes:
        grid: (h, w).
        num_targets: T.
        target_ratio: Size of a target as a fraction of the patches.
        context_ratio: Size of the context as a fraction of the patches.
    """

    grid: Grid
    num_targets: int
    target_ratio: float
    context_ratio: float

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the patch numbers ``keep`` (S,) and ``targets`` (T, M), int64."""
        blocks = multi_block(
            rng,
            self.grid,
            num_targets=self.num_targets,
            target_ratio=self.target_ratio,
            context_ratio=self.context_ratio,
        )
        return {
            "keep": torch.from_numpy(blocks.context),
            "targets": torch.from_numpy(blocks.targets),
        }


class IJEPA(TeacherMethod[IJEPAConfig]):
    """Predict a teacher's features of hidden blocks from the rest of the image.

    It needs no changes of colour and no mirroring, and predicts no pixels. Features of frozen
    backbones are better than MAE's. The paper's backbone has no class token and pools the mean of
    its patches, which fits best. https://arxiv.org/abs/2301.08243

    The student is backbone and predictor. The teacher is an EMA of the backbone.

    Differs from the paper's code:

    - Sizes of blocks are fixed. Their places and shapes are sampled for each image, not for a
      batch, see `multi_block`.
    - Prefix tokens, where the backbone has any, pass the predictor, so that they learn.
    - The backbone keeps its own positions and initial weights.
    """

    def build(self) -> None:
        """Create the predictor, which is dropped after training, and the teacher."""
        config, dim = self.config, self.model.feature_dim()
        grid = self.token_model.token_grid(*self.context.image_size)
        self.blocks = TargetBlocks(
            grid, config.num_targets, config.target_ratio, config.context_ratio
        )
        self._check_blocks()
        self.predictor = PatchPredictor(
            dim,
            config.predictor_dim,
            depth=config.predictor_depth,
            num_heads=config.predictor_num_heads,
            grid=grid,
            output_dim=dim,
        )
        self.add_teacher(batch_norm="student_statistics")

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum, which rises linearly."""
        start, end = float(self.config.momentum_start), self.config.momentum_end
        return linear(step, start, end, self.context.total_steps)

    def sample_extras(self) -> TargetBlocks:
        """Return the sampler of ``keep`` (S,) and ``targets`` (T, M)."""
        return self.blocks

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distance between predicted features and the teacher's.

        Args:
            batch: One view (B, C, H, W); extras ``keep`` (B, S) and ``targets`` (B, T, M).
            step: Not used.

        Returns:
            The loss; about 0.4 for a prediction of 0.
        """
        (images,) = batch.views
        keep, blocks = batch.extra("keep"), batch.extra("targets")
        with torch.no_grad():
            features = self.teacher.token_model.forward_tokens(images)["patch_tokens"]
        targets = block_targets(features, blocks)  # (B, T, M, D)
        context = self.token_model.forward_tokens(images, keep=keep)
        # Each block is predicted separately: the batch is B * T pairs of a context and a block.
        num_targets = blocks.shape[1]
        context = {name: x.repeat_interleave(num_targets, dim=0) for name, x in context.items()}
        keep = keep.repeat_interleave(num_targets, dim=0)
        prediction = self.predictor(context, keep, blocks.flatten(0, 1))  # (B * T, M, D)
        return StepResult(block_loss(prediction.unflatten(0, (-1, num_targets)), targets))

    def _check_blocks(self) -> None:
        try:
            self.blocks(np.random.default_rng(0))
        except ValueError as error:
            raise ConfigError(
                f"method '{self.name}' cannot place its blocks: {error}; set "
                "method_args.num_targets, method_args.target_ratio or method_args.context_ratio "
                "lower"
            ) from error


def block_targets(features: Tensor, blocks: Tensor) -> Tensor:
    """Return the teacher's features of the target blocks, each patch with mean 0 and variance 1.

    Args:
        features: The teacher's features of the whole image, (B, N, D).
        blocks: Patch numbers, (B, T, M) int64.

    Returns:
        (B, T, M, D), at least float32, no gradient.
    """
    with no_autocast(features.device):
        chosen = take(single(features.detach()), blocks.flatten(1))  # (B, T * M, D)
        return F.layer_norm(chosen, chosen.shape[-1:]).reshape(*blocks.shape, -1)


def block_loss(prediction: Tensor, targets: Tensor) -> Tensor:
    """Return the mean smooth L1 distance, which is quadratic below 1.

    Args:
        prediction: (B, T, M, D).
        targets: From `block_targets`, (B, T, M, D).

    Returns:
        Scalar, at least float32.
    """
    return F.smooth_l1_loss(single(prediction), targets)
