"""Random masks, which the loader's workers sample, and checks of the mask ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightly_core.errors import ConfigError
from lightly_core.parts.masking import hidden_count, random_mask


@dataclass(frozen=True)
class RandomSplit:
    """Splits the patches of an image at random; see `lightly_core.parts.masking.random_mask`.

    Attributes:
        grid: (h, w), N = h * w.
        ratio: Fraction of hidden patches, in [0, 1].
    """

    grid: tuple[int, int]
    ratio: float

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the ascending patch numbers ``keep`` (N - M,) and ``hidden`` (M,), int64."""
        return split(random_mask(rng, self.grid, self.ratio))

    def require_both_kinds(self, method: str) -> None:
        """Refuse a ratio that hides no patch or all of them.

        Raises:
            ConfigError: The patches are all visible or all hidden.
        """
        num_patches = math.prod(self.grid)
        check_ratio(method, self.ratio, hidden_count(self.ratio, num_patches), num_patches)

    def require_visible(self, method: str) -> None:
        """Refuse a ratio that hides all patches; it may hide none.

        Raises:
            ConfigError: The patches are all hidden.
        """
        num_patches = math.prod(self.grid)
        if hidden_count(self.ratio, num_patches) >= num_patches:
            raise ConfigError(
                f"method '{method}' got mask_ratio={self.ratio}, which leaves out all "
                f"{num_patches} patches, expected at least one to remain; set a smaller "
                "method_args.mask_ratio, or larger images"
            )


def split(mask: np.ndarray) -> dict[str, Tensor]:
    """Return the patch numbers of a mask (h, w): visible ones ``keep``, true ones ``hidden``."""
    flat = mask.reshape(-1)
    return {
        "keep": torch.from_numpy(np.flatnonzero(~flat)),
        "hidden": torch.from_numpy(np.flatnonzero(flat)),
    }


def check_ratio(method: str, ratio: float, hidden: int, num_patches: int) -> None:
    """Refuse masks that hide nothing or everything.

    Raises:
        ConfigError: `hidden` patches, to which `ratio` was rounded, are none or all.
    """
    if not 0 < hidden < num_patches:
        raise ConfigError(
            f"method '{method}' got mask_ratio={ratio} for {num_patches} patches, which hides "
            f"{hidden} of them, expected at least one hidden and one visible; set another "
            "method_args.mask_ratio, or larger images"
        )
