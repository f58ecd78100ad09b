"""FroSSL as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import StepResult
from lightly_methods.decorrelation.frossl_config import FroSSLConfig
from lightly_methods.decorrelation.frossl_loss import frossl_terms
from lightly_methods.decorrelation.joint import JointMethod


class FroSSL(JointMethod):
    """Bring views to their mean, while the covariance of each has an even spectrum.

    One norm, without decomposition, keeps all directions in use. It learns fast in short runs, and
    takes any number of views. https://arxiv.org/abs/2310.02903

    What differs from the authors' code: with more than two views, too, columns are normalised and
    not rows, as in the paper; and statistics are those of all processes.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or fewer than two views.
    """

    name = "frossl"
    config: FroSSLConfig

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (V, B, P), and its two terms without weights."""
        spectrum, invariance = frossl_terms(projections)
        return StepResult(
            spectrum + self.config.invariance_weight * invariance,
            {
                "train_loss/spectrum": spectrum.detach(),
                "train_loss/invariance": invariance.detach(),
            },
        )
