"""INTL as a method of lightly-core."""

from __future__ import annotations

import math

from torch import Tensor

from lightly_core.contracts import ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_methods.decorrelation.intl_config import INTLConfig
from lightly_methods.decorrelation.intl_loss import intl_terms
from lightly_methods.decorrelation.joint import JointMethod


class INTL(JointMethod):
    """Bring views together after an incomplete whitening, and even out what is left.

    Newton's iterations modulate the spectrum without a decomposition. Works with batches of 256.
    https://arxiv.org/abs/2305.16789

    The authors' best runs add a teacher and many crops of four sizes; views of any number and size
    work here, the teacher is left out.

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, fewer than two views, or one
            channel only.
    """

    name = "intl"
    last_bias = True
    config: INTLConfig

    def __init__(self, config: INTLConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        if config.output_dim < 2:
            raise ConfigError(
                f"method 'intl' got output_dim={config.output_dim}, expected at least 2: one "
                "channel has no variance; set a larger method_args.output_dim"
            )
        self.trace_weight = _trace_weight(config, context.global_batch_size)

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (V, B, P), and its two terms without weights."""
        config = self.config
        distance, trace = intl_terms(
            projections, config.whitening, num_iterations=config.num_iterations
        )
        return StepResult(
            distance + self.trace_weight * trace,
            {"train_loss/distance": distance.detach(), "train_loss/trace": trace.detach()},
        )


def _trace_weight(config: INTLConfig, batch_size: int) -> float:
    if config.trace_weight is not None:
        return config.trace_weight
    size = batch_size if config.whitening == "images" else config.output_dim
    # Below 8 the paper's line is negative.
    return max(0.0, 0.01 * (math.log2(size) - 3))
