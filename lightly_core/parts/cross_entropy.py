"""Cross-entropy with targets that are probabilities."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


def soft_cross_entropy(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return ``-sum over k of targets[k] * log_softmax(logits / temperature)[k]`` of each row.

    It is computed in at least float32. With many thousand classes, half precision rounds most
    probabilities to 0, whose logarithm is -inf.

    Args:
        targets: Probabilities (..., K), no gradient.
        logits: (..., K).
        temperature: Divisor of the logits, > 0.

    Returns:
        (...) in nats, at least float32; log(K) for equal logits.
    """
    with no_autocast(logits.device):
        log_probabilities = F.log_softmax(single(logits) / temperature, dim=-1)
        return -(single(targets.detach()) * log_probabilities).sum(dim=-1)


def masked_patch_loss(
    targets: Tensor, logits: Tensor, weights: Tensor, num_images: int, temperature: float
) -> Tensor:
    """Return the loss of masked patches (iBOT, https://arxiv.org/abs/2111.07832).

    With weights of 1 / (masked patches of the image), all masked images have equal weight. The
    sum is divided by all images, masked or not, as in DINOv2 (https://arxiv.org/abs/2304.07193)::

        loss = 1 / num_images * sum over m of weights[m] * cross_entropy[m]

    Args:
        targets: The teacher's probabilities of the masked patches, (M, K), no gradient. M may be 0.
        logits: The student's outputs of the same patches, (M, K).
        weights: Weight of each masked patch, (M,).
        num_images: Number of images (global views) of this process, >= 1.
        temperature: Divisor of the logits, > 0.

    Returns:
        Scalar in nats, at least float32. It is 0 if nothing is masked.
    """
    entropies = soft_cross_entropy(targets, logits, temperature)  # (M,)
    return (entropies * weights).sum() / num_images
