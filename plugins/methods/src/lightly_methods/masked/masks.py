"""Which patches are seen and which are predicted, drawn in the loader's workers."""

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
        ratio: Share of hidden patches, in [0, 1].
    """

    grid: tuple[int, int]
    ratio: float

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the ascending patch numbers ``keep`` (N - M,) and ``hidden`` (M,), int64."""
        return split(random_mask(rng, self.grid, self.ratio))


def require_both_kinds(method: str, split: RandomSplit) -> None:
    """Refuse a mask ratio that hides no patch or all of them.

    Raises:
        ConfigError: The patches are all visible or all hidden.
    """
    num_patches = math.prod(split.grid)
    check_ratio(method, split.ratio, hidden_count(split.ratio, num_patches), num_patches)


def split(mask: np.ndarray) -> dict[str, Tensor]:
    """Return the numbers of the patches that a mask (h, w) leaves, ``keep``, and ``hidden``."""
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
