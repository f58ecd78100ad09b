"""DCL and DCLW as methods of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_methods.contrastive.dcl_config import DCLConfig, DCLWConfig
from lightly_methods.contrastive.dcl_loss import decoupled, pair_weights, positives
from lightly_methods.contrastive.simclr import SimCLR


class DCL(SimCLR):
    """SimCLR without the right candidate in the denominator.

    The gradient then no longer fades with small batches, which SimCLR suffers from.
    https://arxiv.org/abs/2110.06848

    Args:
        config: Options of the method.
        model: As in SimCLR.
        context: Facts of the run.

    Raises:
        ConfigError: As in SimCLR.
    """

    config: DCLConfig

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return the decoupled loss."""
        return decoupled(logits, pair)


class DCLW(SimCLR):
    """DCL with more weight on pairs of views that look unlike.

    The weights are compared over the images of all processes. https://arxiv.org/abs/2110.06848

    Args:
        config: Options of the method.
        model: As in SimCLR.
        context: Facts of the run.

    Raises:
        ConfigError: As in SimCLR.
    """

    config: DCLWConfig

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return the decoupled loss with weights."""
        cosines = positives(logits, pair) * self.config.temperature
        return decoupled(logits, pair, pair_weights(cosines, self.config.sigma))
