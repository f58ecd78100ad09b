"""DINOv2: DINO for views, iBOT for patches, and KoLeo (Oquab et al. 2023, arXiv:2304.07193).

Shapes: B images, S views of which T are global, R = T * B, N patches of a view, M rows for masked
patches, D features, K prototypes.
"""

from __future__ import annotations

import torch
from torch import nn

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.koleo import koleo
from lightly_core.parts.multicrop import dino_loss
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.dinov2_config import DINOv2Config
from lightly_dino.features import encode, encode_views, pooled_by_view
from lightly_dino.heads import apply_head, dino_head
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches, new_mask_token
from lightly_dino.targets import Targets, teacher_metrics


class DINOv2(SelfDistillation[DINOv2Config]):
    """DINO for views, iBOT for masked patches, and KoLeo against equal features.

    For large sets, and to continue from released weights, see ``head_warmup_steps``,
    ``backbone_lr_factor`` and ``anchor_weight``. Needs a vision transformer.
    https://arxiv.org/abs/2304.07193

    Differs from the paper: masks are sampled separately for each image, see `BlockMasks`.
    """

    def build(self) -> None:
        """Create the heads, the teacher, the mask token, and the targets."""
        config, dim = self.config, self.model.feature_dim()
        heads: dict[str, nn.Module] = {"dino": dino_head(config, dim)}
        if config.ibot_separate_head:
            heads["ibot"] = dino_head(config, dim, config.ibot_bottleneck_dim)
        self.add_heads(heads, batch_norm="student_statistics")
        self.mask_token = new_mask_token(self.token_model.token_dim())
        self.class_targets = Targets(config)
        self.patch_targets = Targets(config)

    def sample_extras(self) -> BlockMasks:
        """Return the sampler of ``mask``, (T, N) bool for each image."""
        grid = self.token_model.token_grid(*self.context.image_size)
        return BlockMasks(grid, self.context.num_views, self.config.mask)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the losses of views and of masked patches, and KoLeo.

        Args:
            batch: S views (B, C, H, W), the T global ones first; extra ``mask`` (B, T, N) bool.
            step: Optimizer steps taken so far.
        """
        config, num_global = self.config, len(batch.global_views)
        temperature = config.teacher_temperature(step, self.context.total_steps)
        patch_head = "ibot" if config.ibot_separate_head else "dino"
        images = torch.cat(batch.global_views)  # (R, C, H, W), view by view
        mask = batch.extra("mask").transpose(0, 1).flatten(0, 1)  # (R, N)
        num_rows = max_masked_patches(len(images), mask.shape[1], config.mask)  # M
        masked = find_masked_patches(mask, num_rows)

        with torch.no_grad():
            teacher = encode(self.teacher.backbone, images)  # nothing is masked
            class_features = pooled_by_view([teacher], num_global)  # (T, B, D)
            class_logits = apply_head(self.teacher["dino"], class_features)  # (T, B, K)
            class_targets = self.class_targets(class_logits, temperature)
            patch_logits = apply_head(self.teacher[patch_head], masked.select(teacher.patches))
            patch_targets = self.patch_targets(patch_logits, temperature, rows=masked.is_masked)

        student = encode(self.model, images, mask, self.mask_token)
        local = encode_views(self.model, batch.local_views)
        class_features = pooled_by_view([student, *local], len(batch.views))  # (S, B, D)
        class_logits = apply_head(self.heads["dino"], class_features)  # (S, B, K)
        dino = dino_loss(class_targets, class_logits, config.student_temp)
        patch_logits = apply_head(self.heads[patch_head], masked.select(student.patches))  # (M, K)
        ibot = masked_patch_loss(
            patch_targets, patch_logits, masked.weights, len(images), config.student_temp
        )
        koleo_loss = class_features.new_zeros(())
        if config.koleo_loss_weight:
            koleo_loss = torch.stack([koleo(view) for view in class_features[:num_global]]).sum()

        loss = (
            config.dino_loss_weight * dino
            + config.ibot_loss_weight * ibot
            + config.koleo_loss_weight * koleo_loss
        )
        metrics = {
            **loss_parts(dino=dino, ibot=ibot, koleo=koleo_loss),
            **teacher_metrics(class_targets, dino),
        }
        return self.with_anchor(StepResult(loss, metrics), [student], [images], visible=~mask)
