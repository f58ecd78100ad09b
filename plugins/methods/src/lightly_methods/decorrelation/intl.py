"""INTL: iterative normalisation with a trace loss (Weng et al. 2024, arXiv:2305.16789).

Shapes: V views, B images on this process, N on all processes, P = ``output_dim``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.parts.covariance import num_rows
from lightly_core.parts.distributed import reduce_sum_with_gradient
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_core.parts.precision import no_autocast
from lightly_core.parts.whitening import whitened_columns, whitened_rows
from lightly_methods.decorrelation.intl_config import INTLConfig, Whitening


class INTL(Method[INTLConfig]):
    """Compare views after an incomplete whitening, and make the spectrum even.

    Newton's iterations whiten without a decomposition. The trace term makes the remaining variances
    equal. It works with batches of 256. https://arxiv.org/abs/2305.16789

    Differs from the paper: the authors' best runs add an EMA teacher and many crops of four sizes.
    Here there is no teacher; views of any number and size can be used.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        self.trace_weight = _trace_weight(config, self.context.global_batch_size)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        self.projector = mlp([self.model.feature_dim(), *hidden, config.output_dim], norm="batch")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the two terms of `intl_terms` and their weighted sum.

        Args:
            batch: V views (B, C, H, W). The first one is compared with each other one.
            step: Not used.
        """
        config = self.config
        pooled = [self.pool(view) for view in batch.views]
        embeddings = torch.stack(apply_to_views(self.projector, pooled))  # (V, B, P)
        distance, trace = intl_terms(
            embeddings, config.whitening, num_iterations=config.num_iterations
        )
        return StepResult(
            distance + self.trace_weight * trace,
            {"train_loss/distance": distance.detach(), "train_loss/trace": trace.detach()},
        )


def intl_terms(
    embeddings: Tensor, whitening: Whitening, *, num_iterations: int
) -> tuple[Tensor, Tensor]:
    """Compare the first view with each other one, after an incomplete whitening of both.

    Few iterations whiten directions of large variance, and leave those of small variance small.
    With W[v] the whitened view and S[v] its variances, one for each image (or channel)::

        distance = mean over v > 0 and images i of |n(W[0, i]) - n(W[v, i])| ** 2
        trace    = t(0) + mean over v > 0 of t(v),  t(v) = sum over j of (1 - S[v, j]) ** 2

    where n divides by the length. The trace term makes all directions large enough.

    Args:
        embeddings: (V, B, P).
        whitening: ``images``: P channels are samples of N images; ``channels``: the other way
            around.
        num_iterations: See `lightly_core.parts.whitening.inverse_root`.

    Returns:
        Both terms, at least float32; averaged over processes they are those of all images.
    """
    function = whitened_rows if whitening == "images" else whitened_columns
    white = torch.stack([function(view, num_iterations=num_iterations) for view in embeddings])
    with no_autocast(embeddings.device):
        directions = F.normalize(white, dim=2)  # (V, B, P)
        cosines = (directions[0] * directions[1:]).sum(dim=2).mean()
        traces = torch.stack([_trace_term(view, whitening) for view in white])  # (V,)
    return 2 - 2 * cosines, traces[0] + traces[1:].mean()


def _trace_term(white: Tensor, whitening: Whitening) -> Tensor:
    """Return t(v) of a whitened view (B, P), whose rows, or columns, have mean 0."""
    squares, total = white.square(), num_rows(white)
    if whitening == "images":
        variances = squares.sum(dim=1) / (white.shape[1] - 1)  # (B,), of this process's images
        return total * (1 - variances).square().mean()
    variances = reduce_sum_with_gradient(squares.sum(dim=0)) / (total - 1)  # (P,)
    return (1 - variances).square().sum()


def _trace_weight(config: INTLConfig, batch_size: int) -> float:
    """Return the weight of the trace term; the paper's is a line in the logarithm of the size."""
    if config.trace_weight is not None:
        return config.trace_weight
    size = batch_size if config.whitening == "images" else config.output_dim
    return max(0.0, 0.01 * (math.log2(size) - 3))  # below 8 the line is negative
