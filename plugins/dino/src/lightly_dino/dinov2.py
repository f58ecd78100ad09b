"""DINOv2 (Oquab et al. 2023, https://arxiv.org/abs/2304.07193).

Shapes: B images, S views of which T are global, R = T * B, M hidden patches, K prototypes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.koleo import koleo
from lightly_core.parts.multicrop import dino_loss
from lightly_core.parts.prototypes import DinoHead, freeze_gradients
from lightly_dino.config_tokens import DINOv2Config
from lightly_dino.features import apply_head
from lightly_dino.loss import entropy
from lightly_dino.masked import MaskedSelfDistillation, Seen
from lightly_dino.targets import Targets, dino_head, temperature_of


class DINOv2(MaskedSelfDistillation):
    """DINO for views, iBOT for hidden patches, and embeddings that keep away from each other.

    Also for going on from released weights, see ``head_warmup_steps``, ``backbone_lr_factor`` and
    ``anchor_weight``. Needs a vision transformer.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, a `TokenModel`.
        context: Facts of the run.

    Raises:
        ConfigError: The model has no tokens, its patch does not divide the image, there is a
            single view, or a process gets one image at a time.
    """

    config: DINOv2Config

    name: ClassVar[str] = "dinov2"
    #: Whether KoLeo looks for neighbours among the images of all processes.
    koleo_among_all: ClassVar[bool] = False

    def __init__(self, config: DINOv2Config, model: ModelWrapper, context: RunContext) -> None:
        heads = self.build_heads(config, model.feature_dim())
        super().__init__(config, model, context, heads, name=self.name, mask=config.mask)
        if config.koleo_loss_weight and context.global_batch_size < 2 * context.world_size:
            raise ConfigError(
                f"method '{self.name}' got batch_size={context.global_batch_size} for "
                f"{context.world_size} processes, expected at least two images for each: an image "
                "needs a nearest neighbour; set a larger batch_size, use fewer devices, or set "
                "method_args.koleo_loss_weight=0"
            )
        self.class_targets = Targets(config, int(config.output_dim))
        self.patch_targets = Targets(config, int(config.output_dim))

    def build_heads(self, config: DINOv2Config, dim: int) -> dict[str, nn.Module]:
        """Return the heads by name; called before anything else is there."""
        heads: dict[str, nn.Module] = {"dino": dino_head(config, dim)}
        if config.ibot_separate_head:
            heads["ibot"] = dino_head(config, dim, config.ibot_bottleneck_dim)
        return heads

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the three losses.

        Args:
            batch: See `MaskedSelfDistillation.look`.
            step: Optimizer steps taken so far.
        """
        config = self.config
        seen = self.look(batch)
        temperature = temperature_of(config, step, self.context.total_steps)
        with torch.no_grad():
            logits = apply_head(self.teacher["dino"], seen.teacher_class_features)  # (T, B, K)
            targets = self.class_targets(logits, temperature)
        views = self.view_loss(targets, apply_head(self.heads["dino"], seen.class_features))
        uncertainty = entropy(targets)
        return self.result(
            step,
            [
                ("dino", config.dino_loss_weight, views),
                ("ibot", config.ibot_loss_weight, self.patch_loss(seen, temperature)),
                ("koleo", config.koleo_loss_weight, self.spread(seen)),
                *self.further_terms(seen, step),
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

    def view_loss(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy of all pairs of different views, in nats.

        Args:
            targets: The teacher's probabilities, (T, B, K).
            logits: The student's, (S, B, K).
        """
        return dino_loss(targets, logits, self.config.student_temp)

    def patch_loss(self, seen: Seen, temperature: float) -> Tensor:
        """Return what hidden patches cost, in nats."""
        name = "ibot" if self.config.ibot_separate_head else "dino"
        picked = seen.picked
        with torch.no_grad():
            logits = apply_head(self.teacher[name], picked.of(seen.teacher.patches))  # (M, K)
            targets = self.patch_targets(logits, temperature, rows=picked.counted)
        return masked_patch_loss(
            targets,
            apply_head(self.heads[name], picked.of(seen.student.patches)),
            picked.weights,
            picked.num_images,
            self.config.student_temp,
        )

    def spread(self, seen: Seen) -> Tensor:
        """Return KoLeo of the pooled features, added up over the global views."""
        views = seen.class_features[: self.context.num_views]  # (T, B, D)
        if not self.config.koleo_loss_weight:
            return views.new_zeros(())
        each = [koleo(view, all_processes=self.koleo_among_all) for view in views]
        return torch.stack(each).sum()

    def further_terms(self, seen: Seen, step: int) -> list[tuple[str, float, Tensor]]:
        """Return name, weight and value of what a method adds to DINOv2."""
        return []

    def before_step(self, step: int) -> None:
        """Keep the prototypes as they are in the beginning."""
        super().before_step(step)
        steps = int(self.config.freeze_last_layer_steps)
        for head in self.heads.values():
            if isinstance(head, DinoHead):
                freeze_gradients(head.prototypes, step=step, num_steps=steps)
