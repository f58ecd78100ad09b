"""The loss of MAE.

B images, M hidden patches, p side of a patch, C channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import single
from lightly_ssl_methods.common.tokens import normalize_patches, patch_pixels, take


def hidden_pixel_mse(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, *, normalize: bool
) -> Tensor:
    """Return the mean squared error over the pixels of the hidden patches.

    MAE, https://arxiv.org/abs/2111.06377. Visible patches do not count.

    Args:
        prediction: (B, M, p * p * C), in the order of `patch_pixels`.
        images: (B, C, H, W).
        hidden: Patch numbers, (B, M) int64.
        patch_size: p, in pixels.
        normalize: Compare with pixels that have mean 0 and variance 1 in their patch.

    Returns:
        Scalar, at least float32; near 1 for a prediction of 0 and normalised pixels.
    """
    targets = take(patch_pixels(single(images), patch_size), hidden)  # (B, M, p * p * C)
    if normalize:
        targets = normalize_patches(targets)
    return F.mse_loss(single(prediction), targets)
