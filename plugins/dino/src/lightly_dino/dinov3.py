"""DINOv3: DINOv2 with Gram anchoring (Siméoni et al. 2025, arXiv:2508.10104).

Shapes: B images, S views of which T are global, R = T * B, N patches of a view, M rows for masked
patches, D features, K prototypes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, StepResult
from lightly_core.methods.teacher import Teacher
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.gram import gram_loss
from lightly_core.parts.koleo import koleo
from lightly_core.parts.multicrop import pair_cross_entropies
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.dinov3_config import DINOv3Config
from lightly_dino.features import encode, encode_views, pooled_by_view
from lightly_dino.heads import apply_head, dino_head
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches, new_mask_token
from lightly_dino.targets import Targets, teacher_metrics


class DINOv3(SelfDistillation[DINOv3Config]):
    """DINOv2 whose patches keep the similarities that they had for an earlier teacher.

    For long runs, in which patch features otherwise lose information about their position. Gram
    anchoring preserves it. Needs a vision transformer. https://arxiv.org/abs/2508.10104

    The Gram teacher is a copy of the teacher, made at ``gram_start_step`` and renewed a few times.
    KoLeo searches for neighbours on all processes.

    Differs from the paper: the Gram teacher gets the global views as they are, not the same crops
    at twice the resolution. Masks are sampled separately for each image, see `BlockMasks`.
    """

    def build(self) -> None:
        """Create the heads, both teachers, the mask token, and the targets."""
        config, dim = self.config, self.model.feature_dim()
        heads: dict[str, nn.Module] = {"dino": dino_head(config, dim)}
        if config.ibot_separate_head:
            heads["ibot"] = dino_head(config, dim, config.ibot_bottleneck_dim)
        self.add_heads(heads, batch_norm="student_statistics")
        self.mask_token = new_mask_token(self.token_model.token_dim())
        self.class_targets = Targets(config)
        self.patch_targets = Targets(config)
        # In the checkpoint, as the teacher that it was copied from is gone.
        self.gram_teacher = Teacher({"backbone": self.teacher["backbone"]})

    def sample_extras(self) -> BlockMasks:
        """Return the sampler of ``mask``, (T, N) bool for each image."""
        grid = self.token_model.token_grid(*self.context.image_size)
        return BlockMasks(grid, self.context.num_views, self.config.mask)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the losses of DINOv2, and Gram anchoring from its first step on.

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
        dino = weighted_dino_loss(
            class_targets, class_logits, config.student_temp, config.local_loss_weight
        )
        patch_logits = apply_head(self.heads[patch_head], masked.select(student.patches))  # (M, K)
        ibot = masked_patch_loss(
            patch_targets, patch_logits, masked.weights, len(images), config.student_temp
        )
        koleo_loss = class_features.new_zeros(())
        if config.koleo_loss_weight:
            views = class_features[:num_global]
            koleo_loss = torch.stack([koleo(view, all_processes=True) for view in views]).sum()
        gram = self._gram_loss(student.patches, images, step)

        loss = (
            config.dino_loss_weight * dino
            + config.ibot_loss_weight * ibot
            + config.koleo_loss_weight * koleo_loss
            + config.gram_loss_weight * gram
        )
        metrics = {
            **loss_parts(dino=dino, ibot=ibot, koleo=koleo_loss, gram=gram),
            **teacher_metrics(class_targets, dino),
        }
        return self.with_anchor(StepResult(loss, metrics), [student], [images], visible=~mask)

    def _gram_loss(self, patches: Tensor, images: Tensor, step: int) -> Tensor:
        """Return Gram anchoring of patches (R, N, D) of images (R, C, H, W); 0 before it begins."""
        if step < int(self.config.gram_start_step) or not self.config.gram_loss_weight:
            return images.new_zeros(())
        with torch.no_grad():
            anchor = encode(self.gram_teacher.backbone, images).patches
        return gram_loss(patches, anchor)

    def after_step(self, step: int) -> None:
        """Update the teacher, and copy it to the Gram teacher in the steps for that."""
        super().after_step(step)
        since, every = step - int(self.config.gram_start_step), self.config.gram_refresh_steps
        due = since >= 0 and since % every == 0 and since // every <= self.config.gram_max_refreshes
        if due:
            self.gram_teacher.update_from({"backbone": self.teacher["backbone"]}, momentum=0.0)


def weighted_dino_loss(
    targets: Tensor, logits: Tensor, temperature: float, local_weight: float
) -> Tensor:
    """Return the cross-entropy of all pairs of different views, local views weighted.

    Args:
        targets: The teacher's probabilities, (T, B, K).
        logits: The student's, (S, B, K).
        temperature: Divisor of the student's logits, > 0.
        local_weight: Factor on the pairs with a local view; with 1 this is `dino_loss`.

    Returns:
        Scalar in nats, at least float32. The sum over pairs is divided by their number, whatever
        the weight.
    """
    table = pair_cross_entropies(targets, logits, temperature)  # (T, S)
    num_global = len(table)
    between_global = table[:, :num_global].sum() - table.diagonal().sum()
    total = between_global + local_weight * table[:, num_global:].sum()
    return total / (table.numel() - num_global)
