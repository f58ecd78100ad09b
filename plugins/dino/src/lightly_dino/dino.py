"""DINO (Caron et al. 2021, https://arxiv.org/abs/2104.14294).

Shapes: B images, S views of which T are global, D features, K prototypes.
"""

from __future__ import annotations

import torch

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.parts.multicrop import dino_loss
from lightly_core.parts.prototypes import DinoHead, freeze_gradients
from lightly_dino.base import SelfDistillation
from lightly_dino.config import DINOConfig
from lightly_dino.features import apply_head, encode_views, stack_pooled
from lightly_dino.loss import entropy
from lightly_dino.targets import Targets, dino_head, temperature_of


class DINO(SelfDistillation):
    """Predict what the teacher sees in the other views, as a choice among many prototypes.

    The teacher, an average of past students, sees the global views only; the student predicts it
    from all of them, small crops included. Works with every backbone.

    Args:
        config: Options of the method.
        model: Backbone to pretrain.
        context: Facts of the run.

    Raises:
        ConfigError: There is a single view, or a batch of one image.
    """

    config: DINOConfig

    def __init__(self, config: DINOConfig, model: ModelWrapper, context: RunContext) -> None:
        heads = {"head": dino_head(config, model.feature_dim())}
        super().__init__(config, model, context, heads)
        self.targets = Targets(config, int(config.output_dim))

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the cross-entropy of all pairs of different views, in nats.

        Args:
            batch: ``views`` holds S tensors (B, C, H, W), the T global ones first.
            step: Optimizer steps taken so far.
        """
        config, views, num_global = self.config, self.views(batch), self.context.num_views
        temperature = temperature_of(config, step, self.context.total_steps)
        with torch.no_grad():
            seen = encode_views(self.teacher["backbone"], views[:num_global])
            teacher_logits = apply_head(self.teacher["head"], stack_pooled(seen))  # (T, B, K)
            targets = self.targets(teacher_logits, temperature)
        outputs = encode_views(self._backbone(), views)
        logits = apply_head(self.heads["head"], stack_pooled(outputs))  # (S, B, K)
        loss = dino_loss(targets, logits, config.student_temp)
        uncertainty = entropy(targets)
        return self.result(
            step,
            [("dino", 1.0, loss)],
            {
                "teacher/entropy": uncertainty,
                "teacher/kl": loss.detach() - uncertainty,
                "schedule/teacher_temp": temperature,
            },
            student=outputs[:num_global],
            images=views[:num_global],
        )

    def before_step(self, step: int) -> None:
        """Keep the prototypes as they are in the beginning, see the paper's appendix A."""
        super().before_step(step)
        head = self.heads["head"]
        assert isinstance(head, DinoHead)
        steps = int(self.config.freeze_last_layer_steps)
        freeze_gradients(head.prototypes, step=step, num_steps=steps)
