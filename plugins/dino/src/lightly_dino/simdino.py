"""SimDINO: cosine distance and coding rate (Wu et al. 2025, arXiv:2502.10385).

Shapes: B images, S views of which T are global, D features, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.coding_rate import coding_rate, coding_rate_weight
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import no_autocast, single
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.features import encode_views, pooled_by_view
from lightly_dino.heads import apply_head
from lightly_dino.simdino_config import SimDINOConfig


class SimDINO(SelfDistillation[SimDINOConfig]):
    """Agree with the teacher's embedding of other views, while the coding rate is kept high.

    The coding rate keeps embeddings from collapsing, so there are no prototypes, centre or
    temperatures. Works with every backbone, and has little to set.
    https://arxiv.org/abs/2502.10385

    Differs from the paper: the coding rate is that of the mean of the student's and the teacher's
    embeddings, as in the released code (``expa_type=1``). ``coding_rate_of="student"`` is the
    paper's form. The covariance is that of all processes, which the released code takes with
    ``reduce_cov=1`` only.
    """

    def build(self) -> None:
        """Create the head and the teacher."""
        head = sim_head(self.config, self.model.feature_dim())
        self.add_heads({"head": head}, batch_norm="own_statistics")

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distance of all pairs of different views, less the coding rate.

        Args:
            batch: S views (B, C, H, W), the T global ones first.
            step: Not used.
        """
        config, num_global = self.config, len(batch.global_views)

        with torch.no_grad():
            teacher = encode_views(self.teacher.backbone, batch.global_views)
            features = pooled_by_view(teacher, num_global)  # (T, B, D)
            targets = apply_head(self.teacher["head"], features)  # (T, B, P)

        student = encode_views(self.model, batch.views)
        features = pooled_by_view(student, len(batch.views))  # (S, B, D)
        embeddings = apply_head(self.heads["head"], features)  # (S, B, P)
        cosine = view_cosine(targets, embeddings)
        distance = 1 - cosine
        rate = mean_coding_rate(embeddings[:num_global], targets, config)
        balance = coding_rate_weight(config.output_dim, self.context.global_batch_size)

        loss = distance - config.coding_rate_weight * balance * rate
        metrics = {
            **loss_parts(distance=distance, coding_rate=rate),
            "teacher/cosine": cosine.detach(),
        }
        return self.with_anchor(StepResult(loss, metrics), student[:num_global], batch.global_views)


def sim_head(config: SimDINOConfig, dim: int) -> nn.Sequential:
    """Create the head of DINO without its prototypes, from (..., D) to (..., P)."""
    return mlp(
        [dim, *[config.hidden_dim] * (config.num_layers - 1), config.output_dim],
        norm="batch" if config.batch_norm else None,
        activation="gelu",
        init_std=0.02,
    )


def view_cosine(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the mean cosine of each view of the student with every other view of the teacher.

    Pairs of the same view (s = t) are skipped::

        mean over t, s != t, b of cos(teacher[t, b], student[s, b])

    Args:
        teacher: (T, B, P), any length, no gradient.
        student: (S, B, P); the first T views are those of the teacher.

    Returns:
        Scalar in [-1, 1], at least float32.
    """
    with no_autocast(student.device):
        own = F.normalize(single(student), dim=-1)
        wanted = F.normalize(single(teacher.detach()), dim=-1)
        table = torch.einsum("tbp,sbp->ts", wanted, own) / student.shape[1]
    num_pairs = table.numel() - min(table.shape)
    return (table.sum() - table.diagonal().sum()) / num_pairs


def mean_coding_rate(student: Tensor, teacher: Tensor, config: SimDINOConfig) -> Tensor:
    """Return the mean coding rate of the global views, in nats.

    Args:
        student: Embeddings (T, B, P), any length.
        teacher: The teacher's embeddings of the same views, (T, B, P), any length, no gradient.
        config: Which embeddings to use, and the precision.
    """
    views = F.normalize(single(student), dim=2)
    if config.coding_rate_of == "mean":
        # Not of length 1: where student and teacher disagree, a row is short and its rate lower.
        views = (views + F.normalize(single(teacher), dim=2)) / 2
    rates = [coding_rate(view, eps=config.coding_rate_eps, normalize=False) for view in views]
    return torch.stack(rates).mean()
