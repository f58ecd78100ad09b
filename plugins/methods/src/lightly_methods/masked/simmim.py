"""SimMIM as a method of lightly-core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.parts.masking import hidden_count, random_mask
from lightly_methods.masked.masks import check_ratio
from lightly_methods.masked.patches import Grid, as_tokens, extra, only_view, patch_grid
from lightly_methods.masked.simmim_config import SimMIMConfig
from lightly_methods.masked.simmim_loss import hidden_pixel_l1

# Cells a side where `mask_cell` is None: 224 pixels in cells of 32.
_CELLS = 7


@dataclass(frozen=True)
class CellMask:
    """Hides square cells of patches; see `lightly_core.parts.masking.random_mask`.

    Attributes:
        grid: (h, w), N = h * w.
        ratio: Share of hidden cells, in [0, 1].
        cell: Side of a cell in patches.
    """

    grid: Grid
    ratio: float
    cell: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``mask`` (N,) bool, true where a patch is hidden."""
        mask = random_mask(rng, self.grid, self.ratio, cell=self.cell)
        return {"mask": torch.from_numpy(mask.reshape(-1))}


class SimMIM(Method[SimMIMConfig]):
    """Put a learned token in place of hidden patches, and paint them with one linear layer.

    Simple, and as MAE at its best when the backbone is fine-tuned afterwards; features of the
    frozen backbone are weak by nature. The class token takes no part in the loss: models that
    pool the mean of the patches fit best. https://arxiv.org/abs/2111.09886

    What differs from the paper's code:

    - The backbone keeps its own positions; the paper's ViT has relative ones only.
    - The error is averaged in each image first, see `hidden_pixel_l1`.
    - Without mask_cell, cells are a seventh of the image: 32 pixels would be all of a small one.
    - The learning rate falls along a cosine, as for the paper's Swin, not in one step.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, with patch tokens.
        context: Facts of the run.

    Raises:
        ConfigError: The backbone has no patch tokens, the image is no whole number of patches,
            `mask_cell` is no multiple of the patch, or `mask_ratio` leaves no cell visible or
            none hidden.
    """

    def __init__(self, config: SimMIMConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.grid = patch_grid(model, context, "simmim")
        tokens = as_tokens(model)
        self.patch_size = tokens.patch_size()
        self.cell = _cell(config, self.grid, self.patch_size)
        num_cells = -(-self.grid[0] // self.cell) * -(-self.grid[1] // self.cell)
        hidden = hidden_count(config.mask_ratio, num_cells)
        check_ratio("simmim", config.mask_ratio, hidden, num_cells)
        self.mask_token = nn.Parameter(torch.empty(tokens.token_dim()))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.04, b=0.04)
        num_pixels = self.patch_size**2 * context.input_channels
        self.head = nn.Linear(model.feature_dim(), num_pixels)

    def sample_extras(self) -> CellMask:
        """Return what draws ``mask``."""
        return CellMask(self.grid, self.config.mask_ratio, self.cell)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the absolute error of the hidden pixels.

        Args:
            batch: One view (B, C, H, W), and the extras.
            step: Not used.

        Returns:
            The loss, in units of the normalised pixels.
        """
        images = only_view(batch, "simmim")
        mask = extra(batch, "mask")  # (B, N)
        tokens = as_tokens(self.model).forward_tokens(images, mask=mask, mask_token=self.mask_token)
        prediction = self.head(tokens["patch_tokens"])  # (B, N, p * p * C)
        return StepResult(hidden_pixel_l1(prediction, images, mask, self.patch_size))


def _cell(config: SimMIMConfig, grid: Grid, patch_size: int) -> int:
    """Return the side of a cell in patches."""
    if config.mask_cell is None:
        return max(1, round(min(grid) / _CELLS))
    if config.mask_cell % patch_size:
        raise ConfigError(
            f"method 'simmim' got mask_cell={config.mask_cell} pixels and a model with patches of "
            f"{patch_size}, expected a multiple of {patch_size}; set method_args.mask_cell="
            f"{max(1, round(config.mask_cell / patch_size)) * patch_size}, or leave it out"
        )
    return config.mask_cell // patch_size
