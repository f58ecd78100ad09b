"""SimCLR: find the other view of an image (Chen et al. 2020, arXiv:2002.05709).

Shapes: B images on this process, W processes, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.contrast import contrast_views, top1
from lightly_core.parts.heads import mlp
from lightly_methods.contrastive.simclr_config import SimCLRConfig


class SimCLR(Method[SimCLRConfig]):
    """Pull the two views of an image together and push all other images away.

    A strong baseline for images with one clear subject. It needs large batches of 256 and more,
    since the other images of the batch are its only negatives. https://arxiv.org/abs/2002.05709
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp(
            [self.model.feature_dim(), *hidden, config.output_dim],
            norm="batch" if config.batch_norm else None,
            last_norm=config.batch_norm,
        )

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute NT-Xent.

        Args:
            batch: Two views (B, C, H, W).
            step: Not used.

        Returns:
            The loss in nats. ``contrast/top1`` is the fraction of views whose nearest candidate is
            the other view of the same image.
        """
        if self.config.views_together:
            projections = self.projector(self.pool(torch.cat(batch.views)))  # (2B, P)
            first, second = projections.chunk(2)
        else:
            first, second = [self.projector(self.pool(view)) for view in batch.views]
        logits, pair = contrast_views(first, second, self.config.temperature)  # (2B, 2BW), (2B,)
        return StepResult(self.loss(logits, pair), {"contrast/top1": top1(logits, pair)})

    def loss(self, logits: Tensor, pair: Tensor) -> Tensor:
        """Return `nt_xent` of what `contrast_views` returned."""
        return nt_xent(logits, pair)


def nt_xent(logits: Tensor, pair: Tensor) -> Tensor:
    """Cross-entropy of finding an image's other view among all views in the batch.

    For each of the 2B rows of this process, the 2BW - 1 other rows of all processes are candidates
    and one of them is right::

        loss = mean over i of -log(exp(s[i, pair(i)]) / sum over k != i of exp(s[i, k]))

    where s is the cosine similarity divided by the temperature (equation 1). Averaging the
    gradients over processes gives the gradient of one large batch.

    Args:
        logits: s, (2B, 2BW), -inf where a row meets itself.
        pair: For each row the column of its other view, (2B,).

    Returns:
        Scalar in nats; log(2BW - 1) when all projections are equal.
    """
    return F.cross_entropy(logits, pair)
