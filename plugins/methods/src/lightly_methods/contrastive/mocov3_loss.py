"""The loss of MoCo v3.

B images on this process, W processes, P channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def scaled_cross_entropy(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return cross-entropy times twice the temperature.

    With this factor the gradient, and the learning rate that suits it, hardly depend on the
    temperature. MoCo v3, https://arxiv.org/abs/2104.02057, algorithm 1.

    Args:
        logits: Cosines divided by the temperature, (B, BW).
        target: The right columns, (B,).
        temperature: > 0.

    Returns:
        Scalar; ``2 * temperature * log(BW)`` for equal logits.
    """
    return 2 * temperature * F.cross_entropy(logits, target)
