"""SimSiam: predict another view through one network (Chen and He 2021, arXiv:2011.10566).

Shapes: B images on this process, V views, P = ``output_dim``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightly_core.contracts import Batch, Method, ParameterGroup, StepResult
from lightly_core.methods.groups import all_decayed, separate_group
from lightly_core.parts.cosine import cosine_distance
from lightly_core.parts.direction_std import direction_std
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import single
from lightly_methods.siamese.simsiam_config import SimSiamConfig


class SimSiam(Method[SimSiamConfig]):
    """Predict the projection of one view from the other view with a single network.

    There are no negatives, no teacher and no queue. Batches of 256 to 512 images are enough. More
    than 1024 give worse results. ``projection/std`` is near 1 and falls to 0 in a collapse.
    https://arxiv.org/abs/2011.10566

    The targets get no gradient. With a gradient the network would collapse.

    As in the paper's code, weight decay applies to biases and norms too. By default the
    predictor's learning rate is constant, without warm-up and decay.
    """

    def build(self) -> None:
        """Create projector and predictor, which are dropped after training."""
        config, dim = self.config, self.config.output_dim
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [self.model.feature_dim(), *hidden, dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = mlp([dim, config.predictor_hidden_dim, dim], norm="batch")

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything. The predictor has a group of its own, see ``predictor_lr``."""
        constant = self.config.predictor_lr == "constant"
        groups = all_decayed(self)
        return separate_group(groups, "predictor", self.predictor, constant_lr=constant)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute `siamese_loss`. Each view goes through the network separately.

        Args:
            batch: V views (B, C, H, W).
            step: Not used.
        """
        projections = [self.projector(self.pool(view)) for view in batch.views]  # (B, P) each
        predictions = [self.predictor(projection) for projection in projections]
        return StepResult(
            siamese_loss(predictions, projections),
            {"projection/std": direction_std(projections[0])},
        )


def siamese_loss(predictions: Sequence[Tensor], projections: Sequence[Tensor]) -> Tensor:
    """Compare each view's prediction with the mean projection of all other views.

    The plain form::

        loss = mean over v and b of
            -cosine(predictions[v][b], mean over w != v of projections[w][b])

    The projections are averaged as they are, not at length 1. With two views the mean is the other
    view's projection: SimSiam, https://arxiv.org/abs/2011.10566. With more views it is FastSiam,
    https://doi.org/10.1007/978-3-031-16788-1_4.

    Args:
        predictions: V tensors (B, P), any length.
        projections: V tensors (B, P), any length; no gradient flows into them.

    Returns:
        Scalar in [-1, 1], at least float32.
    """
    targets = [single(projection.detach()) for projection in projections]
    others = [
        torch.stack([*targets[:v], *targets[v + 1 :]]).mean(dim=0) for v in range(len(targets))
    ]
    return cosine_distance(torch.stack(list(predictions)), torch.stack(others)) - 1
