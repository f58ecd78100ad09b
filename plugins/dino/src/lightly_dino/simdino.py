"""SimDINO (Wu et al. 2025, https://arxiv.org/abs/2502.10385).

Shapes: B images, S views of which T are global, D features, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.parts.coding_rate import coding_rate, coding_rate_weight
from lightly_core.parts.heads import mlp
from lightly_core.parts.precision import single
from lightly_dino.base import SelfDistillation
from lightly_dino.config_sim import SimDINOConfig
from lightly_dino.features import apply_head, encode_views, stack_pooled
from lightly_dino.loss import view_agreement


class SimDINO(SelfDistillation):
    """Agree with the teacher's view of other crops, while the images of a batch take up room.

    The coding rate keeps embeddings from falling together, so there are no prototypes, centre or
    temperatures. Works with every backbone.

    Differs from the paper: the coding rate is that of the mean of the student's and the teacher's
    embeddings, as in the released code (``expa_type=1``). ``coding_rate_of="student"`` is the
    paper's form. The covariance is that of all processes, which the released code takes with
    ``reduce_cov=1`` only.

    Args:
        config: Options of the method.
        model: Backbone to pretrain.
        context: Facts of the run.

    Raises:
        ConfigError: There is a single view, or a batch of one image.
    """

    config: SimDINOConfig

    def __init__(self, config: SimDINOConfig, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context, {"head": sim_head(config, model.feature_dim())})

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distance of all pairs of different views, less the room they take.

        Args:
            batch: ``views`` holds S tensors (B, C, H, W), the T global ones first.
            step: Optimizer steps taken so far.
        """
        views, num_global = self.views(batch), self.context.num_views
        with torch.no_grad():
            seen = encode_views(self.teacher["backbone"], views[:num_global])
            targets = apply_head(self.teacher["head"], stack_pooled(seen))  # (T, B, P)
        outputs = encode_views(self._backbone(), views)
        embeddings = apply_head(self.heads["head"], stack_pooled(outputs))  # (S, B, P)
        agreement = view_agreement(targets, embeddings)
        rate, weight = room(embeddings[:num_global], targets, self.config, self.context)
        return self.result(
            step,
            [("distance", 1.0, 1 - agreement), ("coding_rate", -weight, rate)],
            {"teacher/cosine": agreement.detach()},
            student=outputs[:num_global],
            images=views[:num_global],
        )


def sim_head(config: SimDINOConfig, dim: int) -> nn.Sequential:
    """Build the head of DINO without its last layer, from (..., D) to (..., P)."""
    return mlp(
        [dim, *[config.hidden_dim] * (config.num_layers - 1), config.output_dim],
        norm="batch" if config.batch_norm else None,
        activation="gelu",
        init_std=0.02,
    )


def room(
    embeddings: Tensor, targets: Tensor, config: SimDINOConfig, context: RunContext
) -> tuple[Tensor, float]:
    """Return the mean coding rate of the global views, in nats, and its weight.

    Args:
        embeddings: The student's, (T, B, P), of any length.
        targets: The teacher's, (T, B, P), of any length, no gradient.
        config: Says of which embeddings, how precise, and how much it counts.
        context: Says how many images there are on all processes.
    """
    views = F.normalize(single(embeddings), dim=2)
    if config.coding_rate_of == "mean":
        # Not of length 1: where student and teacher disagree, a row is short and takes less room.
        views = (views + F.normalize(single(targets), dim=2)) / 2
    rates = [coding_rate(view, eps=config.coding_rate_eps, normalize=False) for view in views]
    balance = coding_rate_weight(embeddings.shape[2], context.global_batch_size)
    return torch.stack(rates).mean(), config.coding_rate_weight * balance
