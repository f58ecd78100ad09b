"""ReSA: learn the similarities of the backbone's features (Weng et al. 2025, arXiv:2501.18452).

Shapes: B images on this process, N on all processes, V views of which G are global, D features,
P = ``output_dim``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ParameterGroup, StepResult
from lightly_core.methods.groups import all_decayed
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.cosine import cosines
from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_core.parts.direction_std import direction_std
from lightly_core.parts.distributed import gather, rank
from lightly_core.parts.heads import mlp
from lightly_core.parts.sinkhorn import sinkhorn
from lightly_methods.siamese.resa_config import ReSAConfig


class ReSA(TeacherMethod[ReSAConfig]):
    """Teach the projections which images are similar in the features of the backbone.

    The backbone's features form better clusters than the projections. Their cosines in a weakly
    augmented first view are balanced and sharpened to an assignment of images to images. The
    projections of all views learn to reproduce it. Good neighbours after few epochs, on one GPU.
    https://arxiv.org/abs/2501.18452

    ``assignment/own`` is the fraction of its assignment that an image gives to itself. It is 1
    where each image is unlike all others, and 1 / N where all are alike.

    The student is backbone, projector and predictor. The teacher is an EMA of backbone and
    projector. As in the paper's code, weight decay applies to biases and norms too.

    Differs from the paper: local views are augmented like the first view. The paper changes their
    colours. Local views go through the student only.
    """

    def build(self) -> None:
        """Create projector and predictor, and the teacher."""
        config, dim, hidden_dim = self.config, self.config.output_dim, self.config.hidden_dim
        hidden = [hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [self.model.feature_dim(), *hidden, dim], norm="batch", last_norm="no_affine"
        )
        self.predictor = (
            mlp([dim, hidden_dim, dim], norm="batch") if config.predictor else nn.Identity()
        )
        self.add_teacher("projector", batch_norm="own_statistics")

    def parameter_groups(self) -> list[ParameterGroup]:
        """Decay everything."""
        return all_decayed(self)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute `assignment_loss`. Each view goes through the networks separately.

        Args:
            batch: V views (B, C, H, W): the weak global view, the strong one, then local ones.
            step: Not used.
        """
        config = self.config
        with torch.no_grad():
            keys = [self.teacher.pool(view) for view in batch.global_views]  # (B, D) each
            targets = [gather(self.teacher["projector"](x)) for x in keys]  # (N, P) each
        features = [self.pool(view) for view in batch.views]  # (B, D) each
        projections = [self.projector(x) for x in features]  # (B, P) each
        embeddings = [self.predictor(projection) for projection in projections]
        assignment = self_assignment(
            features[0], gather(keys[0]), config.sinkhorn_temperature, config.sinkhorn_iterations
        )  # (B, N)
        own = assignment.narrow(1, rank() * len(assignment), len(assignment))  # (B, B)
        return StepResult(
            assignment_loss(assignment, embeddings, targets, config.temperature),
            {
                "assignment/own": own.diagonal().mean(),
                "projection/std": direction_std(projections[0]),
            },
        )


def self_assignment(
    features: Tensor, keys: Tensor, temperature: float, num_iterations: int
) -> Tensor:
    """Assign images to the images that they resemble in features of the backbone.

    Args:
        features: The student's, (B, D), any length; no gradient flows into them.
        keys: The teacher's of the images of all processes, (N, D), any length.
        temperature: Divisor of the cosines, > 0.
        num_iterations: See `sinkhorn`.

    Returns:
        Probabilities (B, N), at least float32: rows sum to 1, columns over all processes to
        about 1.
    """
    return sinkhorn(cosines(features.detach(), keys), temperature, num_iterations=num_iterations)


def assignment_loss(
    assignment: Tensor,
    embeddings: Sequence[Tensor],
    targets: Sequence[Tensor],
    temperature: float,
) -> Tensor:
    """Compare the similarities of embeddings with those of the features.

    The mean over pairs of different views v, g and over images b of::

        -sum over n of assignment[b, n]
            * log_softmax over n of cosine(embeddings[v][b], targets[g][n]) / temperature

    Args:
        assignment: Of `self_assignment`, (B, N); the same for all pairs.
        embeddings: V tensors (B, P), any length; the first G belong to the views of `targets`.
        targets: G tensors (N, P), any length; no gradient flows into them.
        temperature: Divisor of the cosines, > 0.

    Returns:
        Scalar in nats, at least float32; log(N) for equal embeddings.
    """
    losses = [
        soft_cross_entropy(assignment, cosines(embedding, target.detach()), temperature).mean()
        for v, embedding in enumerate(embeddings)
        for g, target in enumerate(targets)
        if v != g
    ]
    return torch.stack(losses).mean()
