"""PMSN: MSN with a power law as prior of the prototypes (Assran et al. 2023, arXiv:2210.07277).

Shapes: K prototypes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_methods.masked.msn import MSN
from lightly_methods.masked.pmsn_config import PMSNConfig


class PMSN(MSN):
    """MSN for images whose classes are not equally frequent.

    MSN requires all prototypes to be used equally, and splits frequent classes for it. Here their
    use is to follow a power law. https://arxiv.org/abs/2210.07277

    The divergence is that of the mean prediction from the prior, ``KL(prior || mean)``, as the
    paper's code computes it. Sinkhorn still assigns an equal part of a batch to each prototype, as
    in MSN. Use ``sinkhorn_iterations=0`` for very unequal classes.
    """

    config: PMSNConfig

    def regularization(self, mean: Tensor) -> Tensor:
        """Return the divergence of the mean prediction (K,) from the power law."""
        return power_law_divergence(mean, self.config.power_law_exponent)


def power_law_divergence(mean: Tensor, exponent: float) -> Tensor:
    """Return the divergence of the mean prediction from a power law, PMSN's regulariser.

    ``sum over k of q[k] * (log(q[k]) - log(mean[k]))`` with q[k] proportional to
    ``(k + 1) ** -exponent``. Prototypes are not sorted by frequency; they adapt to the prior.

    Args:
        mean: From `lightly_methods.masked.msn.mean_probabilities`, (K,).
        exponent: >= 0; 0 asks for equal use.

    Returns:
        Scalar in nats, >= 0; 0 where the mean is q.
    """
    ranks = torch.arange(1, len(mean) + 1, device=mean.device, dtype=mean.dtype)
    logs = F.log_softmax(-exponent * ranks.log(), dim=0)  # (K,), log(q)
    return (logs.exp() * (logs - mean.log())).sum()
