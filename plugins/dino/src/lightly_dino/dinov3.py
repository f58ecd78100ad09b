"""DINOv3 (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104).

Shapes: B images, S views of which T are global, R = T * B, N patches, D features, K prototypes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from lightly_core.contracts import ModelWrapper, RunContext
from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.gram import gram_loss
from lightly_core.parts.multicrop import pair_cross_entropies
from lightly_dino.config_tokens import DINOv3Config
from lightly_dino.dinov2 import DINOv2
from lightly_dino.features import encode
from lightly_dino.masked import Seen


class DINOv3(DINOv2):
    """DINOv2 whose patches keep the similarities to each other that an earlier teacher gave them.

    Long training wears off what patches say of their places; Gram anchoring holds on to it. The
    anchor is a copy of the teacher, taken in mid-run and again a few times. The paper shows it the
    same crops at twice the resolution; here it sees the global views as they are.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, a `TokenModel`.
        context: Facts of the run.

    Raises:
        ConfigError: As in `DINOv2`.
    """

    config: DINOv3Config

    name: ClassVar[str] = "dinov3"
    koleo_among_all: ClassVar[bool] = True

    def __init__(self, config: DINOv3Config, model: ModelWrapper, context: RunContext) -> None:
        super().__init__(config, model, context)
        # In the checkpoint, as the teacher that it was copied from is gone.
        self.gram_teacher = EmaTeacher({"backbone": self.teacher["backbone"]})

    def view_loss(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy of all pairs of different views; local ones weigh their own.

        Args:
            targets: The teacher's probabilities, (T, B, K).
            logits: The student's, (S, B, K).
        """
        table = pair_cross_entropies(targets, logits, self.config.student_temp)  # (T, S)
        num_global = len(table)
        between_global = table[:, :num_global].sum() - table.diagonal().sum()
        total = between_global + self.config.local_loss_weight * table[:, num_global:].sum()
        return total / (table.numel() - num_global)

    def further_terms(self, seen: Seen, step: int) -> list[tuple[str, float, Tensor]]:
        """Return Gram anchoring; 0 in front of its first step."""
        if step < int(self.config.gram_start_step) or not self.config.gram_loss_weight:
            loss = seen.images.new_zeros(())
        else:
            with torch.no_grad():
                anchor = encode(self.gram_teacher["backbone"], seen.images).patches
            loss = gram_loss(seen.student.patches, anchor)
        return [("gram", self.config.gram_loss_weight, loss)]

    def after_step(self, step: int) -> None:
        """Let the teacher follow, and copy it where that is due."""
        super().after_step(step)
        since, every = step - int(self.config.gram_start_step), self.config.gram_refresh_steps
        due = since >= 0 and since % every == 0 and since // every <= self.config.gram_max_refreshes
        if due:
            self.gram_teacher.update_from({"backbone": self.teacher["backbone"]}, momentum=0.0)
