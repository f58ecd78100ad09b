"""TiCo: invariance to a teacher and contrast with past covariance (Zhu et al. 2022).

arXiv:2206.10698. Shapes: B images on this process, P = ``output_dim``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.cosine import cosine_distance, unit
from lightly_core.parts.covariance import second_moment
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import no_autocast
from lightly_methods.decorrelation.tico_config import TiCoConfig


class TiCo(TeacherMethod[TiCoConfig]):
    """Predict the teacher's embedding, and avoid the directions that past embeddings took.

    The moving average of the embeddings' second moments does what an unlimited queue of negatives
    would do, in little memory. Batches may be small. https://arxiv.org/abs/2206.10698
    """

    moment: Tensor

    def build(self) -> None:
        """Create projector, teacher and the second moments of past embeddings."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp([self.model.feature_dim(), *hidden, config.output_dim], norm="batch")
        self.add_teacher("projector", batch_norm="own_statistics")
        self.register_buffer("moment", torch.zeros(config.output_dim, config.output_dim))
        self._batch_moments: list[Tensor] = []  # of this step

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the invariance and the contrast term.

        Args:
            batch: The student's view and the teacher's, (B, C, H, W) each.
            step: Not used.
        """
        first, second = batch.views
        embeddings = self.projector(self.pool(first))  # (B, P)
        with torch.no_grad():
            targets = self.teacher["projector"](self.teacher.pool(second))  # (B, P)
        moment = batch_moment(embeddings)  # (P, P)
        self._batch_moments.append(moment)
        invariance = cosine_distance(embeddings, targets)
        contrast = covariance_contrast(embeddings, self._averaged(moment))
        return StepResult(
            invariance + self.config.contrast_weight * contrast,
            {
                "train_loss/invariance": invariance.detach(),
                "train_loss/contrast": contrast.detach(),
            },
        )

    def after_step(self, step: int) -> None:
        """Update the teacher and the second moments.

        Once a step, not once a batch: gradients of several batches may add up to one step.
        """
        super().after_step(step)
        self.moment.copy_(self._averaged(torch.stack(self._batch_moments).mean(dim=0)))
        self._batch_moments.clear()

    def _averaged(self, moment: Tensor) -> Tensor:
        """Return the moving average of second moments, (P, P), with that of this step."""
        return torch.lerp(moment, self.moment.to(moment.dtype), self.config.memory_momentum)


def batch_moment(embeddings: Tensor) -> Tensor:
    """Return the second moments of directions over all processes, without gradient.

    Args:
        embeddings: (B, P), any length.

    Returns:
        (P, P), at least float32: the mean of ``z z^T`` with z of length 1, trace 1.
    """
    with torch.no_grad():
        z = unit(embeddings)
        return second_moment(z, z)


def covariance_contrast(embeddings: Tensor, moment: Tensor) -> Tensor:
    """Return how much embeddings lie in the directions that are used most.

    The mean over images of ``z^T moment z`` with z of length 1.

    Args:
        embeddings: (B, P), any length.
        moment: (P, P), no gradient flows into it.

    Returns:
        Scalar in [0, 1], at least float32: 1 where all embeddings, past and present, are equal,
        1 / P where all directions are used evenly.
    """
    with no_autocast(embeddings.device):
        z = unit(embeddings)
        return (z @ moment.detach().to(z.dtype) * z).sum(dim=1).mean()
