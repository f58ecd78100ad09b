"""PMSN as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_methods.masked.msn import MSN
from lightly_methods.masked.msn_loss import power_law_divergence
from lightly_methods.masked.pmsn_config import PMSNConfig


class PMSN(MSN):
    """MSN for images whose classes are not equally frequent.

    MSN wants all prototypes to be used equally, and splits frequent classes for it. Here their use
    is to follow a power law. https://arxiv.org/abs/2210.07277

    The divergence is that of the mean prediction from the prior, ``KL(prior || mean)``, as the
    paper's code computes it. Sinkhorn still spreads the targets of a batch evenly, as in MSN;
    `sinkhorn_iterations=0` switches that off for very unequal classes.

    Args:
        config: Options of the method.
        model: As in MSN.
        context: Facts of the run.

    Raises:
        ConfigError: As in MSN.
    """

    config: PMSNConfig

    def regularization(self, mean: Tensor) -> Tensor:
        """Return the divergence of the mean prediction (K,) from the power law."""
        return power_law_divergence(mean, self.config.power_law_exponent)
