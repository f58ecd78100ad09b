"""SimDINOv2: SimDINO, and distances of masked patches (Wu et al. 2025, arXiv:2502.10385).

Shapes: B images, S views of which T are global, R = T * B, N patches of a view, M rows for masked
patches, D features, P = ``output_dim``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import Batch, StepResult
from lightly_core.parts.coding_rate import coding_rate_weight
from lightly_core.parts.precision import no_autocast, single
from lightly_dino.base import SelfDistillation, loss_parts
from lightly_dino.features import encode, encode_views, pooled_by_view
from lightly_dino.heads import apply_head
from lightly_dino.masks import BlockMasks, find_masked_patches, max_masked_patches, new_mask_token
from lightly_dino.simdino import mean_coding_rate, sim_head, view_cosine
from lightly_dino.simdinov2_config import SimDINOv2Config


class SimDINOv2(SelfDistillation[SimDINOv2Config]):
    """SimDINO, and agree with the teacher in patches that are masked for the student.

    Needs a vision transformer. https://arxiv.org/abs/2502.10385

    Differs from the paper as `SimDINO` does. Masks are sampled separately for each image, see
    `BlockMasks`.
    """

    def build(self) -> None:
        """Create the head, the teacher, and the mask token."""
        head = sim_head(self.config, self.model.feature_dim())
        self.add_heads({"head": head}, batch_norm="student_statistics")
        self.mask_token = new_mask_token(self.token_model.token_dim())

    def sample_extras(self) -> BlockMasks:
        """Return the sampler of ``mask``, (T, N) bool for each image."""
        grid = self.token_model.token_grid(*self.context.image_size)
        return BlockMasks(grid, self.context.num_views, self.config.mask)

    def training_step(self, batch: Batch, step: int) -> StepResult:
        """Compute the distances of views and of masked patches, less the coding rate.

        Args:
            batch: S views (B, C, H, W), the T global ones first; extra ``mask`` (B, T, N) bool.
            step: Not used.
        """
        config, num_global = self.config, len(batch.global_views)
        images = torch.cat(batch.global_views)  # (R, C, H, W), view by view
        mask = batch.extra("mask").transpose(0, 1).flatten(0, 1)  # (R, N)
        num_rows = max_masked_patches(len(images), mask.shape[1], config.mask)  # M
        masked = find_masked_patches(mask, num_rows)

        with torch.no_grad():
            head = self.teacher["head"]
            teacher = encode(self.teacher.backbone, images)  # nothing is masked
            targets = apply_head(head, pooled_by_view([teacher], num_global))  # (T, B, P)
            patch_targets = apply_head(head, masked.select(teacher.patches))  # (M, P)

        head = self.heads["head"]
        student = encode(self.model, images, mask, self.mask_token)
        local = encode_views(self.model, batch.local_views)
        features = pooled_by_view([student, *local], len(batch.views))  # (S, B, D)
        embeddings = apply_head(head, features)  # (S, B, P)
        cosine = view_cosine(targets, embeddings)
        distance = 1 - cosine
        rate = mean_coding_rate(embeddings[:num_global], targets, config)
        balance = coding_rate_weight(config.output_dim, self.context.global_batch_size)
        patches = apply_head(head, masked.select(student.patches))  # (M, P)
        patch_part = patch_distance(patch_targets, patches, masked.weights, len(images))

        loss = (
            distance
            + config.patch_loss_weight * patch_part
            - config.coding_rate_weight * balance * rate
        )
        metrics = {
            **loss_parts(distance=distance, patch_distance=patch_part, coding_rate=rate),
            "teacher/cosine": cosine.detach(),
        }
        return self.with_anchor(StepResult(loss, metrics), [student], [images], visible=~mask)


def patch_distance(teacher: Tensor, student: Tensor, weights: Tensor, num_images: int) -> Tensor:
    """Return ``1 - cos`` of masked patches, each masked image weighing the same.

    The counterpart of `lightly_core.parts.cross_entropy.masked_patch_loss` with cosines.

    Args:
        teacher: Embeddings of masked patches, (M, P), no gradient.
        student: (M, P).
        weights: 1 / (masked patches of the image), 0 where a row does not count, (M,).
        num_images: Global views of this process, R.

    Returns:
        Scalar in [0, 2], at least float32.
    """
    with no_autocast(student.device):
        cosines = F.cosine_similarity(single(student), single(teacher.detach()), dim=-1)
        return ((1 - cosines) * weights).sum() / num_images
