"""The loss of I-JEPA.

B images, T target blocks, M patches of each, D features.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single
from lightly_methods.masked.patches import take


def block_targets(patches: Tensor, targets: Tensor) -> Tensor:
    """Return what is to be predicted: the teacher's patches, each with mean 0 and variance 1.

    Args:
        patches: The teacher's features of the whole image, (B, N, D).
        targets: Patch numbers of the blocks, (B, T, M) int64.

    Returns:
        (B, T, M, D), at least float32, no gradient.
    """
    with no_autocast(patches.device):
        found = take(single(patches.detach()), targets.flatten(1))  # (B, T * M, D)
        return F.layer_norm(found, found.shape[-1:]).reshape(*targets.shape, -1)


def block_loss(prediction: Tensor, targets: Tensor) -> Tensor:
    """Return the mean smooth L1 distance, quadratic below 1 (https://arxiv.org/abs/2301.08243).

    Args:
        prediction: (B, T, M, D).
        targets: From `block_targets`, (B, T, M, D).

    Returns:
        Scalar, at least float32.
    """
    return F.smooth_l1_loss(single(prediction), targets)
