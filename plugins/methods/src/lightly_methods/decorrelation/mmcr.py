"""MMCR: maximum manifold capacity representations (Yerxa et al. 2023, arXiv:2303.03307).

Shapes: V views, B images on this process, N on all processes, P = ``output_dim``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.teacher import TeacherMethod
from lightly_core.parts.cosine import unit
from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.heads import apply_to_views, mlp
from lightly_core.parts.precision import no_autocast
from lightly_methods.decorrelation.mmcr_config import MMCRConfig


class MMCR(TeacherMethod[MMCRConfig]):
    """Maximise the nuclear norm of the means over the views of each image.

    Needs several views of each image, and batches above ``output_dim``. The teacher sees the same
    views as the student. https://arxiv.org/abs/2303.03307

    Differs from the authors' code:

    - Images of other processes get their gradients too, as with one process.
    - Batch norms see each view as a batch of its own.
    """

    def build(self) -> None:
        """Create the projector and the teacher."""
        config = self.config
        hidden = [config.hidden_dim] * (config.num_layers - 1)
        dims = [self.model.feature_dim(), *hidden, config.output_dim]
        self.projector = mlp(dims, norm="batch", last_bias=False)
        self.add_teacher("projector", batch_norm="own_statistics")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the two terms of `mmcr_terms` and their weighted sum.

        Args:
            batch: V views (B, C, H, W).
            step: Not used.
        """
        pooled = [self.pool(view) for view in batch.views]
        embeddings = torch.stack(apply_to_views(self.projector, pooled))  # (V, B, P)
        with torch.no_grad():
            project = self.teacher["projector"]
            targets = torch.stack([project(self.teacher.pool(view)) for view in batch.views])
        extent, manifold = mmcr_terms(embeddings, targets)  # of (V, B, P) each
        weight = self.config.compression_weight
        return StepResult(
            weight * manifold - extent if weight else -extent,
            {"train_loss/extent": extent.detach(), "train_loss/manifold": manifold.detach()},
        )


def mmcr_terms(embeddings: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nuclear norm of the images' means, and that of the views of one image.

    With z of length 1, z' the teacher's, and the nuclear norm, the sum of singular values::

        mean[i]  = (mean over v of z[v, i] + mean over v of z'[v, i]) / 2
        extent   = nuclear norm of the matrix of all N rows mean[i]
        manifold = mean over i of the nuclear norm of the matrix of rows z[v, i]

    Means are long where the views of an image agree. The nuclear norm of their matrix is large
    where they are long and use all directions. The loss is ``weight * manifold - extent``.

    On GPUs torch waits for the device in each decomposition.

    Args:
        embeddings: (V, B, P).
        targets: Those of the teacher, (V, B, P); no gradient flows into them.

    Returns:
        Both, at least float32. `extent` is equal on all processes, in
        ``[0, N * min(1, sqrt(P / N))]``; `manifold` is that of this process's images, in
        ``[sqrt(V), V]``.
    """
    with no_autocast(embeddings.device):
        z = unit(embeddings)
        fixed = unit(targets.detach())
        means = gather_with_gradient((z.mean(dim=0) + fixed.mean(dim=0)) / 2)  # (N, P)
        extent = torch.linalg.svdvals(means).sum()
        manifold = torch.linalg.svdvals(z.transpose(0, 1)).sum(dim=1).mean()
    return extent, manifold
