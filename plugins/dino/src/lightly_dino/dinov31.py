"""DINOv2 with patch-kernel alignment (PaKA, Yeo et al. 2025, arXiv:2509.05606).

Shapes: B images, S views of which T are global, R = T * B, N patches of a view, M rows for masked
patches, n crops of a global view, P = ``bottleneck_dim``, D features, K prototypes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.cross_entropy import masked_patch_loss
from lightly_core.parts.heads import mlp
from lightly_core.parts.koleo import koleo
from lightly_core.parts.multicrop import dino_loss
from lightly_core.parts.precision import single
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.dinov31_config import DINOv31Config
from lightly_dino.features import encode, encode_views, pooled_by_view
from lightly_dino.heads import apply_head, dino_head
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches, new_mask_token
from lightly_dino.patch_kernels import MasksAndBoxes, cut, kernel_distance
from lightly_dino.targets import Targets, teacher_metrics


class DINOv31(SelfDistillation[DINOv31Config]):
    """DINOv2 whose patches resemble each other as they do for the teacher.

    To continue from trained weights: it sharpens dense features. Needs a vision transformer.
    https://arxiv.org/abs/2509.05606

    The student gets crops of the global views, the teacher the whole views. In the region that both
    have, the similarities of patches are aligned.

    Differs from the paper: the teacher gets the global views as they are, not without changes of
    colour. Masks are sampled separately for each image, see `BlockMasks`.
    """

    def build(self) -> None:
        """Create the heads, the teacher, the mask token, and the targets."""
        config, dim = self.config, self.model.feature_dim()
        dims = [dim, config.hidden_dim, config.hidden_dim, config.bottleneck_dim]
        paka = mlp(dims, activation="gelu", init_std=0.02)
        heads: dict[str, nn.Module] = {"dino": dino_head(config, dim)}
        if config.ibot_separate_head:
            heads["ibot"] = dino_head(config, dim, config.ibot_bottleneck_dim)
        heads["paka"] = paka
        self.add_heads(heads, batch_norm="student_statistics")
        self.mask_token = new_mask_token(self.token_model.token_dim())
        self.class_targets = Targets(config)
        self.patch_targets = Targets(config)
        self.grid = self.token_model.token_grid(*self.context.image_size)

    def sample_extras(self) -> MasksAndBoxes:
        """Return the sampler of ``mask`` (T, N) bool, and of ``box`` (T, n, 4) for the crops."""
        num_views = self.context.num_views
        masks = BlockMasks(self.grid, num_views, self.config.mask)
        return MasksAndBoxes(masks, max(1, self.config.paka_num_local // num_views))

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the losses of DINOv2, and patch-kernel alignment from its first step on.

        Args:
            batch: S views (B, C, H, W), the T global ones first; extras ``mask`` (B, T, N) bool and
                ``box`` (B, T, n, 4), see `MasksAndBoxes`.
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
        boxes = batch.extra("box").transpose(0, 1).flatten(0, 1)  # (R, n, 4)
        paka = self._kernel_loss(images, boxes, teacher.patches, step)

        loss = (
            config.dino_loss_weight * dino
            + config.ibot_loss_weight * ibot
            + config.koleo_loss_weight * koleo_loss
            + config.paka_weight * paka
        )
        metrics = {
            **loss_parts(dino=dino, ibot=ibot, koleo=koleo_loss, paka=paka),
            **teacher_metrics(class_targets, dino),
        }
        return self.with_anchor(StepResult(loss, metrics), [student], [images], visible=~mask)

    def _kernel_loss(
        self, images: Tensor, boxes: Tensor, teacher_patches: Tensor, step: int
    ) -> Tensor:
        """Return `kernel_distance` of the student on crops and the teacher on whole views.

        Args:
            images: The global views, (R, C, H, W).
            boxes: Places of the crops, (R, n, 4).
            teacher_patches: The teacher's features of the whole views, (R, N, D).
            step: Optimizer steps taken so far; the loss is 0 before the first one for it.
        """
        config, head = self.config, self.heads["paka"]
        if step < config.paka_start_step or not config.paka_weight:
            # Several processes wait for a gradient of every parameter.
            return torch.stack([p.sum() for p in head.parameters()]).sum() * 0
        size = config.paka_grid * self.token_model.patch_size()
        crops = cut(single(images), boxes, size).to(images)  # (R * n, C, size, size)
        student = apply_head(head, encode(self.model, crops).patches)  # (R * n, grid ** 2, P)
        with torch.no_grad():
            whole = apply_head(self.teacher["paka"], teacher_patches)  # (R, N, P)
            maps = single(whole).transpose(1, 2).reshape(len(whole), -1, *self.grid)
            teacher = cut(maps, boxes, config.paka_grid).flatten(2).transpose(1, 2)
        return kernel_distance(student, teacher)
