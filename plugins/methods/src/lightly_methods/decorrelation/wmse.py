"""W-MSE as a method of lightly-core."""

from __future__ import annotations

from torch import Tensor

from lightly_core.contracts import ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_methods.decorrelation.joint import JointMethod
from lightly_methods.decorrelation.wmse_config import WMSEConfig
from lightly_methods.decorrelation.wmse_loss import whitened_distance


class WMSE(JointMethod):
    """Bring views together after whitening each, which leaves no room to collapse.

    The projection must be narrower than the sub-batches are large.
    https://arxiv.org/abs/2007.06346

    What differs from the authors' code: sub-batches are drawn from the images of all processes,
    once a step, so that a run does not depend on how many there are; the default mixes a little of
    the identity into covariances.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process or fewer than two views, the
            batch is too small for the width of the projection, or no whole number of sub-batches.
    """

    name = "wmse"
    config: WMSEConfig

    def __init__(self, config: WMSEConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        self.size = _whitening_size(config, context.global_batch_size)

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (V, B, P)."""
        loss = whitened_distance(projections, step, size=self.size, eps=self.config.whitening_eps)
        return StepResult(loss)


def _whitening_size(config: WMSEConfig, batch_size: int) -> int:
    """Return how many images are whitened together."""
    dim, size = config.output_dim, config.whitening_size
    if size is None:
        sizes = (n for n in range(2 * dim, batch_size + 1) if batch_size % n == 0)
        size = next(sizes, None)
        if size is None:
            raise ConfigError(
                f"method 'wmse' got batch_size={batch_size} and output_dim={dim}, expected at "
                f"least twice as many images, {2 * dim}: the covariance of fewer has no good "
                f"inverse; set batch_size={2 * dim}, or method_args.output_dim={batch_size // 2} "
                "or less"
            )
    if size <= dim:
        raise ConfigError(
            f"method 'wmse' got whitening_size={size} and output_dim={dim}, expected more images "
            f"than channels: the covariance of fewer has no inverse; set "
            f"method_args.whitening_size={2 * dim}, or method_args.output_dim={size // 2} or less"
        )
    if batch_size % size:
        raise ConfigError(
            f"method 'wmse' got batch_size={batch_size} and whitening_size={size}, expected a "
            f"whole number of sub-batches; set batch_size={-(-batch_size // size) * size}, or "
            "leave out method_args.whitening_size"
        )
    return size
