"""SimDINOv2 (Wu et al. 2025, https://arxiv.org/abs/2502.10385).

Shapes: B images, S views of which T are global, M hidden patches, P = ``output_dim``.
"""

from __future__ import annotations

import torch

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_dino.config_sim import SimDINOv2Config
from lightly_dino.features import apply_head
from lightly_dino.loss import patch_distance, view_agreement
from lightly_dino.masked import MaskedSelfDistillation
from lightly_dino.simdino import room, sim_head


class SimDINOv2(MaskedSelfDistillation):
    """SimDINO, and agree with the teacher in patches that are hidden from the student.

    Needs a vision transformer. Differs from the paper as `SimDINO` does.

    Args:
        config: Options of the method.
        model: Backbone to pretrain, a `TokenModel`.
        context: Facts of the run.

    Raises:
        ConfigError: The model has no tokens, its patch does not divide the image, there is a
            single view, or a batch of one image.
    """

    config: SimDINOv2Config

    def __init__(self, config: SimDINOv2Config, model: ModelWrapper, context: RunContext) -> None:
        heads = {"head": sim_head(config, model.feature_dim())}
        super().__init__(config, model, context, heads, name="simdinov2", mask=config.mask)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distances of views and hidden patches, less the room that images take.

        Args:
            batch: See `MaskedSelfDistillation.look`.
            step: Optimizer steps taken so far.
        """
        seen = self.look(batch)
        picked, head = seen.picked, self.heads["head"]
        with torch.no_grad():
            teacher_head = self.teacher["head"]
            targets = apply_head(teacher_head, seen.teacher_class_features)  # (T, B, P)
            patch_targets = apply_head(teacher_head, picked.of(seen.teacher.patches))  # (M, P)
        embeddings = apply_head(head, seen.class_features)  # (S, B, P)
        agreement = view_agreement(targets, embeddings)
        own = embeddings[: self.context.num_views]
        rate, weight = room(own, targets, self.config, self.context)
        patches = patch_distance(
            patch_targets,
            apply_head(head, picked.of(seen.student.patches)),
            picked.weights,
            picked.num_images,
        )
        return self.result(
            step,
            [
                ("distance", 1.0, 1 - agreement),
                ("patch_distance", self.config.patch_loss_weight, patches),
                ("coding_rate", -weight, rate),
            ],
            {"teacher/cosine": agreement.detach()},
            student=[seen.student],
            images=[seen.images],
            visible=~seen.mask,
        )
