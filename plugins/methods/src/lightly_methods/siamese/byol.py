"""BYOL: predict the teacher's projection of another view (Grill et al. 2020, arXiv:2006.07733).

Shapes: B images on this process, G global views, V views in all, P = ``output_dim``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.cosine import cosine_distance
from lightly_core.parts.direction_std import direction_std
from lightly_core.parts.heads import mlp
from lightly_methods.siamese.byol_config import BYOLConfig


class BYOL(TeacherMethod[BYOLConfig]):
    """Predict the teacher's projection of another view. There are no negatives.

    A good method for convolutional networks. Its batch norms need many images, so small batches
    on a process are its weakness. ``projection/std`` falls to 0 in a collapse.
    https://arxiv.org/abs/2006.07733

    The student is backbone, projector and predictor. The teacher is an EMA of backbone and
    projector.

    Differs from the paper: more than two global views are used in all pairs. Local views go
    through the student only.
    """

    def build(self) -> None:
        """Create projector and predictor, and the teacher."""
        config, dim = self.config, self.config.output_dim
        self.projector = mlp([self.model.feature_dim(), config.hidden_dim, dim], norm="batch")
        self.predictor = mlp([dim, config.predictor_hidden_dim, dim], norm="batch")
        self.add_teacher("projector", batch_norm="own_statistics")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute `byol_loss`. Each view goes through the networks separately.

        Args:
            batch: V views (B, C, H, W), the G global ones first.
            step: Not used.
        """
        with torch.no_grad():
            project = self.teacher["projector"]
            targets = [project(self.teacher.pool(view)) for view in batch.global_views]  # (B, P)
        projections = [self.projector(self.pool(view)) for view in batch.views]  # (B, P) each
        predictions = [self.predictor(projection) for projection in projections]
        return StepResult(
            byol_loss(predictions, targets), {"projection/std": direction_std(projections[0])}
        )


def byol_loss(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compare each view's prediction with the teacher's projection of every other view.

    Four times the mean over pairs of different views v, g and over images b of::

        1 - cosine(predictions[v][b], targets[g][b])

    With two views this is the paper's sum of two squared distances (equation 2, made symmetric).
    More views do not change its scale.

    Args:
        predictions: V tensors (B, P), any length; the first G belong to the views of `targets`.
        targets: G tensors (B, P), any length; no gradient flows into them.

    Returns:
        Scalar in [0, 8], at least float32.
    """
    distances = [
        cosine_distance(prediction, target)
        for v, prediction in enumerate(predictions)
        for g, target in enumerate(targets)
        if v != g
    ]
    return 4 * torch.stack(distances).mean()
