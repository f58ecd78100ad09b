"""SimMIM: predict the pixels of masked patches (Xie et al. 2022, arXiv:2111.09886).

Shapes: B images on this process, C channels, p side of a patch, N = h * w patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.errors import ConfigError
from lightly_core.parts.masking import hidden_count, random_mask
from lightly_core.parts.precision import single
from lightly_methods.masked.patches import Grid, check_ratio, patch_pixels
from lightly_methods.masked.simmim_config import SimMIMConfig

# Cells a side where `mask_cell` is None: 224 pixels in cells of 32.
_CELLS = 7


@dataclass(frozen=True)
class CellMask:
    """Masks square cells of patches; see `lightly_core.parts.masking.random_mask`.

    Attributes:
        grid: (h, w).
        ratio: Fraction of masked cells, in [0, 1].
        cell: Side of a cell in patches.
    """

    grid: Grid
    ratio: float
    cell: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``mask`` (N,) bool, true where a patch is masked."""
        mask = random_mask(rng, self.grid, self.ratio, cell=self.cell)
        return {"mask": torch.from_numpy(mask.reshape(-1))}

    def require_both_kinds(self, method: str) -> None:
        """Refuse a ratio that masks no cell or all of them.

        Raises:
            ConfigError: The cells are all visible or all masked.
        """
        num_cells = -(-self.grid[0] // self.cell) * -(-self.grid[1] // self.cell)
        check_ratio(method, self.ratio, hidden_count(self.ratio, num_cells), num_cells)


class SimMIM(Method[SimMIMConfig]):
    """Replace masked patches by a learned token. One linear layer predicts their pixels.

    It is simple and, like MAE, best when the backbone is fine-tuned afterwards. Features of the
    frozen backbone are weak. The class token takes no part in the loss, so models that pool the
    mean of the patches fit best. https://arxiv.org/abs/2111.09886

    Differs from the paper's code:

    - The backbone keeps its own positions. The paper's ViT has relative ones only.
    - The error is averaged in each image first, see `hidden_pixel_l1`.
    - Without ``mask_cell``, cells are a seventh of the image. The paper's 32 pixels would be all
      of a small image.
    - The learning rate falls along a cosine, as for the paper's Swin, not in one step.
    """

    def build(self) -> None:
        """Create the mask token and the prediction head, which are dropped after training."""
        tokens = self.token_model
        self.patch_size = tokens.patch_size()
        grid = tokens.token_grid(*self.context.image_size)
        self.masks = CellMask(grid, self.config.mask_ratio, self.cell_side(grid))
        self.masks.require_both_kinds(self.name)
        self.mask_token = nn.Parameter(torch.empty(tokens.token_dim()))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.04, b=0.04)
        num_pixels = self.patch_size**2 * self.context.input_channels
        self.head = nn.Linear(self.model.feature_dim(), num_pixels)

    def cell_side(self, grid: Grid) -> int:
        """Return the side of a cell in patches.

        Raises:
            ConfigError: ``mask_cell`` is not a multiple of the patch size.
        """
        cell, patch_size = self.config.mask_cell, self.patch_size
        if cell is None:
            return max(1, round(min(grid) / _CELLS))
        if cell % patch_size:
            raise ConfigError(
                f"method '{self.name}' got mask_cell={cell} pixels and a model with patches of "
                f"{patch_size}, expected a multiple of {patch_size}; set method_args.mask_cell="
                f"{max(1, round(cell / patch_size)) * patch_size}, or omit it"
            )
        return cell // patch_size

    def sample_extras(self) -> CellMask:
        """Return the sampler of ``mask`` (N,)."""
        return self.masks

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the absolute error of the masked pixels.

        Args:
            batch: One view (B, C, H, W); extra ``mask`` (B, N) bool.
            step: Not used.

        Returns:
            The loss, in units of the normalised pixels.
        """
        (images,) = batch.views
        mask = batch.extra("mask")
        tokens = self.token_model.forward_tokens(images, mask=mask, mask_token=self.mask_token)
        prediction = self.head(tokens["patch_tokens"])  # (B, N, p * p * C)
        return StepResult(hidden_pixel_l1(prediction, images, mask, self.patch_size))


def hidden_pixel_l1(prediction: Tensor, images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Return the mean absolute error over the pixels of the masked patches.

    The mean is taken in each image first and then over images, so that processes need not agree on
    a count. Where all images have equally many masked patches, this is the paper's sum over the
    batch, divided by the number of masked pixels.

    Args:
        prediction: (B, N, p * p * C), in the order of `patch_pixels`.
        images: (B, C, H, W).
        mask: Which patches are masked, (B, N) bool; at least one in each image.
        patch_size: p, in pixels.

    Returns:
        Scalar, at least float32, in units of the pixels.
    """
    targets = patch_pixels(single(images), patch_size)  # (B, N, p * p * C)
    errors = (single(prediction) - targets).abs().mean(dim=2)  # (B, N)
    return ((errors * mask).sum(dim=1) / mask.sum(dim=1)).mean()
