"""I-JEPA as a method of lightly-core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.parts.masking import multi_block
from lightly_core.parts.schedules import linear
from lightly_methods.masked.ijepa_config import IJEPAConfig
from lightly_methods.masked.ijepa_loss import block_loss, block_targets
from lightly_methods.masked.patches import Grid, as_tokens, extra, only_view, patch_grid
from lightly_methods.masked.predictor import PatchPredictor


@dataclass(frozen=True)
class TargetBlocks:
    """Draws context and targets of an image; see `lightly_core.parts.masking.multi_block`.

    Attributes:
        grid: (h, w).
        num_targets: T.
        target_ratio: Size of a target as a share of the patches.
        context_ratio: Size of the context as a share of the patches.
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

    No colours are changed and nothing is mirrored; no pixels are painted. Features of frozen
    backbones are better than MAE's. The paper's backbone has no class token and pools the mean of
    its patches, which fits best. https://arxiv.org/abs/2301.08243

    What differs from the paper's code:

    - Sizes of blocks are fixed, places and shapes are drawn for each image and not for a batch;
      see `multi_block`.
    - Prefix tokens, where the backbone has any, pass the predictor, so that they learn.
    - The backbone keeps its own positions and initial weights.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, with patch tokens; the predictor is dropped in the end.
        context: Facts of the run.

    Raises:
        ConfigError: The backbone has no patch tokens, the image is no whole number of patches, or
            the blocks do not fit into it.
    """

    def __init__(self, config: IJEPAConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.grid = patch_grid(model, context, "ijepa")
        _check_blocks(self.sample_extras())
        self.predictor = PatchPredictor(
            model.feature_dim(),
            config.predictor_dim,
            depth=config.predictor_depth,
            num_heads=config.predictor_num_heads,
            grid=self.grid,
            output_dim=model.feature_dim(),
        )
        self.teacher = Teacher(self.student())

    def momentum(self, step: int) -> float:
        """Return the teacher's momentum, on a line."""
        config, total = self.config, self.context.total_steps
        return linear(step, float(config.momentum_start), config.momentum_end, total)

    def sample_extras(self) -> TargetBlocks:
        """Return what draws ``keep`` and ``targets``."""
        config = self.config
        return TargetBlocks(
            self.grid, config.num_targets, config.target_ratio, config.context_ratio
        )

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distance between predicted features and the teacher's.

        Args:
            batch: One view (B, C, H, W), and the extras.
            step: Optimizer steps taken so far.

        Returns:
            The loss; about 0.4 for a prediction of 0.
        """
        images = only_view(batch, "ijepa")
        keep, targets = extra(batch, "keep"), extra(batch, "targets")  # (B, S) and (B, T, M)
        with torch.no_grad():
            whole = as_tokens(self.teacher["backbone"]).forward_tokens(images)
        tokens = as_tokens(self.model).forward_tokens(images, keep=keep)
        # Each block is predicted alone, as if the others were not asked for.
        num_targets = targets.shape[1]
        tokens = {name: x.repeat_interleave(num_targets, dim=0) for name, x in tokens.items()}
        prediction = self.predictor(
            tokens, keep.repeat_interleave(num_targets, dim=0), targets.flatten(0, 1)
        )  # (B * T, M, D)
        loss = block_loss(
            prediction.unflatten(0, (-1, num_targets)),
            block_targets(whole["patch_tokens"], targets),
        )
        return StepResult(loss, {"schedule/teacher_momentum": self.momentum(step)})


def _check_blocks(blocks: TargetBlocks) -> None:
    try:
        blocks(np.random.default_rng(0))
    except ValueError as error:
        raise ConfigError(
            f"method 'ijepa' cannot place its blocks: {error}; set method_args.num_targets, "
            "method_args.target_ratio or method_args.context_ratio lower"
        ) from error
