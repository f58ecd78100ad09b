"""iBOT: DINO, and predict the teacher's patches (Zhou et al. 2021, arXiv:2111.07832).

Shapes: B images, S views of which T are global, R = T * B, N patches of a view, M rows for masked
patches, D features, K prototypes.
"""

from __future__ import annotations

import torch

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.multicrop import dino_loss
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.features import encode, encode_views, pooled_by_view
from lightly_dino.heads import apply_head, dino_head
from lightly_dino.ibot_config import IBOTConfig
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches, new_mask_token
from lightly_dino.targets import Targets, teacher_metrics


class IBOT(SelfDistillation[IBOTConfig]):
    """DINO, and predict the teacher's output for patches that are masked for the student.

    For features of whole images and of patches. Needs a vision transformer.
    https://arxiv.org/abs/2111.07832

    One head serves class tokens and patches. Each of the two has its own centre.

    Differs from the paper: masks are sampled separately for each image, see `BlockMasks`.
    """

    def build(self) -> None:
        """Create the head, the teacher, the mask token, and the centres."""
        head = dino_head(self.config, self.model.feature_dim())
        self.add_heads({"head": head}, batch_norm="student_statistics")
        self.mask_token = new_mask_token(self.token_model.token_dim())
        self.class_targets = Targets(self.config)
        self.patch_targets = Targets(self.config)

    def sample_extras(self) -> BlockMasks:
        """Return the sampler of ``mask``, (T, N) bool for each image."""
        grid = self.token_model.token_grid(*self.context.image_size)
        return BlockMasks(grid, self.context.num_views, self.config.mask)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the losses of views and of masked patches, in nats.

        Args:
            batch: S views (B, C, H, W), the T global ones first; extra ``mask`` (B, T, N) bool.
            step: Optimizer steps taken so far.
        """
        config, num_global = self.config, len(batch.global_views)
        temperature = config.teacher_temperature(step, self.context.total_steps)
        images = torch.cat(batch.global_views)  # (R, C, H, W), view by view
        mask = batch.extra("mask").transpose(0, 1).flatten(0, 1)  # (R, N)
        num_rows = max_masked_patches(len(images), mask.shape[1], config.mask)  # M
        masked = find_masked_patches(mask, num_rows)

        with torch.no_grad():
            head = self.teacher["head"]
            teacher = encode(self.teacher.backbone, images)  # nothing is masked
            class_logits = apply_head(head, pooled_by_view([teacher], num_global))  # (T, B, K)
            class_targets = self.class_targets(class_logits, temperature)
            # The centre is that of all patches, not only of those that happen to be masked.
            all_logits = apply_head(head, teacher.patches)  # (R, N, K)
            patch_targets = self.patch_targets(
                masked.select(all_logits), temperature, rows=masked.is_masked, center_on=all_logits
            )

        head = self.heads["head"]
        student = encode(self.model, images, mask, self.mask_token)
        local = encode_views(self.model, batch.local_views)
        class_features = pooled_by_view([student, *local], len(batch.views))  # (S, B, D)
        class_logits = apply_head(head, class_features)  # (S, B, K)
        dino = dino_loss(class_targets, class_logits, config.student_temp)
        patch_logits = apply_head(head, masked.select(student.patches))  # (M, K)
        ibot = masked_patch_loss(
            patch_targets, patch_logits, masked.weights, len(images), config.student_temp
        )

        loss = config.dino_loss_weight * dino + config.ibot_loss_weight * ibot
        metrics = {**loss_parts(dino=dino, ibot=ibot), **teacher_metrics(class_targets, dino)}
        return self.with_anchor(StepResult(loss, metrics), [student], [images], visible=~mask)
