"""EMP-SSL as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import StepResult
from lightly_methods.decorrelation.empssl_config import EMPSSLConfig
from lightly_methods.decorrelation.empssl_loss import emp_terms
from lightly_methods.decorrelation.joint import JointMethod


class EMPSSL(JointMethod):
    """Bring many crops of an image to their mean, and let images take as much room as they can.

    Each step looks at an image in many pieces, so few epochs are enough.
    https://arxiv.org/abs/2304.03977

    The paper evaluates the mean of the features of 128 crops of an image, hidden layers of the
    projector included; here the backbone is exported and sees the whole image.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or fewer than two crops.
    """

    name = "emp-ssl"
    last_bias = True
    views_together = True
    config: EMPSSLConfig

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (V, B, P), and its two terms without weights."""
        distance, rate = emp_terms(projections, eps=self.config.coding_rate_eps)
        return StepResult(
            self.config.invariance_weight * distance - rate,
            {"train_loss/distance": distance.detach(), "train_loss/coding_rate": rate.detach()},
        )
