"""VICReg as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import StepResult
from lightly_methods.decorrelation.joint import JointMethod
from lightly_methods.decorrelation.vicreg_config import VICRegConfig
from lightly_methods.decorrelation.vicreg_loss import vicreg_terms


class VICReg(JointMethod):
    """Bring two views together, while each view's channels spread and do not correlate.

    Needs neither negatives nor a teacher. Nothing is normalised, so the views may go through
    different networks. https://arxiv.org/abs/2105.04906

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or other than two views.
    """

    name = "vicreg"
    config: VICRegConfig

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (2, B, P), and its three terms without weights."""
        config = self.config
        terms = vicreg_terms(*projections)
        loss = terms.weighted(
            config.invariance_weight, config.variance_weight, config.covariance_weight
        )
        return StepResult(
            loss,
            {
                "train_loss/invariance": terms.invariance.detach(),
                "train_loss/variance": terms.variance.detach(),
                "train_loss/covariance": terms.covariance.detach(),
            },
        )
