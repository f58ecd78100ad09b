"""Barlow Twins as a method of lightly-core."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lightly_core.contracts import StepResult
from lightly_core.optim.groups import ParameterGroup
from lightly_methods.decorrelation.barlowtwins_config import BarlowTwinsConfig
from lightly_methods.decorrelation.barlowtwins_loss import barlow_twins_terms
from lightly_methods.decorrelation.joint import JointMethod


class BarlowTwins(JointMethod):
    """Make each channel agree between two views, and no two channels say the same.

    Needs neither negatives nor a teacher, and works with small batches. The projector wants to be
    wide. https://arxiv.org/abs/2103.03230

    What differs from the paper's code: the sum of the correlations over processes has its true
    gradient there too, where the code's is smaller by the number of processes (LARS hides that).

    Args:
        config: Options of the method.
        model: Backbone to pretrain; the projector is trained with it, then dropped.
        context: Facts of the run.

    Raises:
        ConfigError: There are fewer than two images on a process, or other than two views.
    """

    name = "barlowtwins"
    config: BarlowTwinsConfig

    def parameter_groups(self) -> list[ParameterGroup]:
        """Give biases and norms a learning rate of their own."""
        factor = self.config.bias_lr_factor
        return [
            group if group.weight_decay else replace(group, lr_scale=factor)
            for group in super().parameter_groups()
        ]

    def compare(self, projections: Tensor, step: int) -> StepResult:
        """Return the loss of projections (2, B, P), and its two terms without weights."""
        diagonal, rest = barlow_twins_terms(*projections)
        return StepResult(
            diagonal + self.config.off_diagonal_weight * rest,
            {"train_loss/diagonal": diagonal.detach(), "train_loss/off_diagonal": rest.detach()},
        )
