"""The loss of SimMIM.

B images, N patches, p side of a patch, C channels.
"""

from __future__ import annotations

from torch import Tensor

from lightly_core.parts.precision import single
from lightly_methods.masked.patches import patch_pixels


def hidden_pixel_l1(prediction: Tensor, images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Return the mean absolute error over the pixels of the hidden patches.

    First the mean in each image, then over images, so that processes need not agree on a count.
    Where all images hide equally many patches this is the paper's sum over the batch, divided by
    its hidden pixels (https://arxiv.org/abs/2111.09886).

    Args:
        prediction: (B, N, p * p * C), in the order of `patch_pixels`.
        images: (B, C, H, W).
        mask: Which patches are hidden, (B, N) bool; at least one in each image.
        patch_size: p, in pixels.

    Returns:
        Scalar, at least float32, in units of the pixels.
    """
    targets = patch_pixels(single(images), patch_size)  # (B, N, p * p * C)
    errors = (single(prediction) - targets).abs().mean(dim=2)  # (B, N)
    return ((errors * mask).sum(dim=1) / mask.sum(dim=1)).mean()
