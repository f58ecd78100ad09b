"""W-MSE: mean squared error of whitened embeddings (Ermolov et al. 2021, arXiv:2007.06346).

Shapes: V views, B images on this process, N on all processes, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, Method, StepResult
from lightly_core.errors import ConfigError
from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.whitening import cholesky_whitened
from lightly_methods.decorrelation.wmse_config import WMSEConfig


class WMSE(Method[WMSEConfig]):
    """Compare views after whitening each, so that embeddings cannot collapse.

    ``output_dim`` must be below the number of images that are whitened together.
    https://arxiv.org/abs/2007.06346

    Differs from the authors' code:

    - Sub-batches are sampled from the images of all processes, once a step, so that a run does not
      depend on the number of processes.
    - By default a little of the identity is mixed into the covariances.
    """

    def build(self) -> None:
        """Create the projector, which is dropped after training."""
        config = self.config
        self.size = whitening_size(config, self.context.global_batch_size)
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        self.projector = mlp(dims, norm="batch", last_bias=False)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute `whitened_distance`. Each view goes through the networks separately.

        Args:
            batch: V views (B, C, H, W).
            step: Decides which images are whitened together.
        """
        embeddings = torch.stack([self.projector(self.pool(view)) for view in batch.views])
        return StepResult(
            whitened_distance(embeddings, step, size=self.size, eps=self.config.whitening_eps)
        )


def whitened_distance(embeddings: Tensor, step: int, *, size: int, eps: float) -> Tensor:
    """Return the mean squared distance of whitened views at length 1.

    The images of all processes are shuffled and cut into sub-batches. In each, every view is
    whitened on its own. The plain form::

        for group in shuffled(range(N)), cut into pieces of size:
            for v in range(V):
                w[v, group] = normalize(whitened(embeddings[v, group]))
        loss = mean over i and pairs u < v of |w[u, i] - w[v, i]| ** 2

    The order follows from the step alone, so it is the same for all views and on all processes.

    Args:
        embeddings: (V, B, P).
        step: Optimizer steps taken so far.
        size: Images in a sub-batch, > P unless `eps` > 0; a divisor of N.
        eps: See `cholesky_whitened`.

    Returns:
        Scalar in [0, 4], at least float32, equal on all processes.
    """
    num_views, _, dim = embeddings.shape
    with no_autocast(embeddings.device):
        rows = gather_with_gradient(single(embeddings).transpose(0, 1))  # (N, V, P)
        generator = torch.Generator().manual_seed(step)
        order = torch.randperm(len(rows), generator=generator)
        order = order.to(rows.device, non_blocking=True)
        # The views of each sub-batch, (N / size, V, size, P).
        groups = rows[order].view(-1, size, num_views, dim).transpose(1, 2)
        white = F.normalize(cholesky_whitened(groups, eps=eps), dim=-1)
        # The squared length of the sum holds all cosines, that of each view with itself included.
        cosines = white.sum(dim=1).square().sum(dim=-1) - num_views  # (N / size, size)
        return 2 - 2 * cosines.mean() / (num_views * (num_views - 1))


def whitening_size(config: WMSEConfig, batch_size: int) -> int:
    """Return how many images are whitened together.

    Raises:
        ConfigError: The batch is too small for the dimension of the embedding, or is no whole
            number of sub-batches.
    """
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
            f"than dimensions: the covariance of fewer has no inverse; set "
            f"method_args.whitening_size={2 * dim}, or method_args.output_dim={size // 2} or less"
        )
    if batch_size % size:
        raise ConfigError(
            f"method 'wmse' got batch_size={batch_size} and whitening_size={size}, expected a "
            f"whole number of sub-batches; set batch_size={-(-batch_size // size) * size}, or "
            "omit method_args.whitening_size"
        )
    return size
