"""iBOT (Zhou et al. 2021, https://arxiv.org/abs/2111.07832).

Shapes: B images, S views of which T are global, R = T * B, N patches, M hidden ones, K prototypes.
"""

from __future__ import annotations

import torch

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.multicrop import dino_loss
from lightly_core.parts.prototypes import DinoHead, freeze_gradients
from lightly_dino.config_tokens import IBOTConfig
from lightly_dino.features import apply_head
from lightly_dino.loss import entropy
from lightly_dino.masked import MaskedSelfDistillation
from lightly_dino.targets import Targets, dino_head, temperature_of


class IBOT(MaskedSelfDistillation):
    """DINO, and predict what the teacher sees in patches that are hidden from the student.

    One head serves class tokens and patches; their centres are apart. Needs a vision transformer.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, a `TokenModel`.
        context: Facts of the run.

    Raises:
        ConfigError: The model has no tokens, its patch does not divide the image, there is a
            single view, or a batch of one image.
    """

    config: IBOTConfig

    def __init__(self, config: IBOTConfig, model: ModelWrapper, context: RunContext) -> None:
        heads = {"head": dino_head(config, model.feature_dim())}
        super().__init__(config, model, context, heads, name="ibot", mask=config.mask)
        self.class_targets = Targets(config, int(config.output_dim))
        self.patch_targets = Targets(config, int(config.output_dim))

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute what views predict of each other, and hidden patches of themselves; in nats.

        Args:
            batch: See `MaskedSelfDistillation.look`.
            step: Optimizer steps taken so far.
        """
        config = self.config
        seen = self.look(batch)
        picked = seen.picked
        temperature = temperature_of(config, step, self.context.total_steps)
        with torch.no_grad():
            head = self.teacher["head"]
            logits = apply_head(head, seen.teacher_class_features)  # (T, B, K)
            class_targets = self.class_targets(logits, temperature)
            # The centre follows all patches, not only those that happen to be hidden.
            all_patches = apply_head(head, seen.teacher.patches)  # (R, N, K)
            patch_targets = self.patch_targets(
                picked.of(all_patches), temperature, rows=picked.counted, center_on=all_patches
            )
        head = self.heads["head"]
        views = dino_loss(class_targets, apply_head(head, seen.class_features), config.student_temp)
        patches = masked_patch_loss(
            patch_targets,
            apply_head(head, picked.of(seen.student.patches)),  # (M, K)
            picked.weights,
            picked.num_images,
            config.student_temp,
        )
        uncertainty = entropy(class_targets)
        return self.result(
            step,
            [
                ("dino", config.dino_loss_weight, views),
                ("ibot", config.ibot_loss_weight, patches),
            ],
            {
                "teacher/entropy": uncertainty,
                "teacher/kl": views.detach() - uncertainty,
                "schedule/teacher_temp": temperature,
            },
            student=[seen.student],
            images=[seen.images],
            visible=~seen.mask,
        )

    def before_step(self, step: int) -> None:
        """Keep the prototypes as they are in the beginning."""
        super().before_step(step)
        head = self.heads["head"]
        assert isinstance(head, DinoHead)
        steps = int(self.config.freeze_last_layer_steps)
        freeze_gradients(head.prototypes, step=step, num_steps=steps)
