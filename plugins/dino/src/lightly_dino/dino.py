"""DINO: predict the teacher's choice of prototype (Caron et al. 2021, arXiv:2104.14294).

Shapes: B images, S views of which T are global, D features, K prototypes.
"""

from __future__ import annotations

import torch

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.multicrop import dino_loss
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.dino_config import DINOConfig
from lightly_dino.features import encode_views, pooled_by_view
from lightly_dino.heads import apply_head, dino_head
from lightly_dino.targets import Targets, teacher_metrics


class DINO(SelfDistillation[DINOConfig]):
    """Predict the teacher's distribution over prototypes for other views.

    Works with every backbone. Its frozen features are good without labels, those of transformers
    most of all. https://arxiv.org/abs/2104.14294

    The teacher is an EMA of backbone and head. It gets the global views, the student all views.

    Differs from the paper: the gain of the prototypes is fixed at 1.
    """

    def build(self) -> None:
        """Create the head, the teacher, and the centre."""
        head = dino_head(self.config, self.model.feature_dim())
        self.add_heads({"head": head}, batch_norm="own_statistics")
        self.targets = Targets(self.config)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the mean cross-entropy of all pairs of different views, in nats.

        Args:
            batch: S views (B, C, H, W), the T global ones first.
            step: Optimizer steps taken so far.
        """
        config, num_global = self.config, len(batch.global_views)
        temperature = config.teacher_temperature(step, self.context.total_steps)

        with torch.no_grad():
            teacher = encode_views(self.teacher.backbone, batch.global_views)
            features = pooled_by_view(teacher, num_global)  # (T, B, D)
            targets = self.targets(apply_head(self.teacher["head"], features), temperature)

        student = encode_views(self.model, batch.views)
        features = pooled_by_view(student, len(batch.views))  # (S, B, D)
        logits = apply_head(self.heads["head"], features)  # (S, B, K)

        loss = dino_loss(targets, logits, config.student_temp)
        metrics = {**loss_parts(dino=loss), **teacher_metrics(targets, loss)}
        return self.with_anchor(StepResult(loss, metrics), student[:num_global], batch.global_views)
