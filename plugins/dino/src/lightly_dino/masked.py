"""What the methods with hidden patches share.

Shapes: B images, S views of which T are global, R = T * B, N patches, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, SampleExtras
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.errors import ConfigError
from lightly_core.methods.requirements import require_capability
from lightly_dino.base import SelfDistillation
from lightly_dino.config import SelfDistillationConfig
from lightly_dino.config_tokens import MaskArgs
from lightly_dino.features import Features, encode, encode_views
from lightly_dino.masks import BlockMasks, Picked, budget, pick


@dataclass(frozen=True)
class Seen:
    """What both networks make of a batch.

    Attributes:
        images: The global views, (R, C, H, W), view by view.
        mask: Hidden patches of the student's global views, (R, N) bool.
        picked: The hidden patches.
        student: The student's features of the masked global views, R rows.
        teacher: The teacher's features of the whole global views, R rows.
        class_features: The student's pooled features of all views, (S, B, D).
        teacher_class_features: The teacher's of the global ones, (T, B, D).
        extras: What `sample_extras` drew, first dimension B.
    """

    images: Tensor
    mask: Tensor
    picked: Picked
    student: Features
    teacher: Features
    class_features: Tensor
    teacher_class_features: Tensor
    extras: Mapping[str, Tensor]


class MaskedSelfDistillation(SelfDistillation):
    """Base of the methods that hide patches from the student.

    Args:
        config: Options of the method.
        model: Student, a `TokenModel`.
        context: Facts of the run.
        heads: As in `SelfDistillation`.
        name: As users type it.
        mask: Which patches are hidden.

    Raises:
        ConfigError: The model has no tokens that could be masked, or the size of the global views
            is no multiple of its patch.
    """

    teacher_mode = "eval"
    teacher_buffers = "copy"

    def __init__(
        self,
        config: SelfDistillationConfig,
        model: ModelWrapper,
        context: RunContext,
        heads: Mapping[str, nn.Module],
        *,
        name: str,
        mask: MaskArgs,
    ) -> None:
        tokens = require_capability(model, TokenModel, needed_by=f"method '{name}'")
        _check_size(name, tokens.patch_size(), context.image_size)
        super().__init__(config, model, context, heads)
        self._mask_args = mask
        self._grid = tokens.token_grid(*context.image_size)
        self.mask_token = nn.Parameter(torch.empty(tokens.token_dim()))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.04, b=0.04)

    def masks(self) -> BlockMasks:
        """Return what draws the masks of an image."""
        return BlockMasks(self._grid, self.context.num_views, self._mask_args)

    def sample_extras(self) -> SampleExtras:
        """Return what makes `Batch.extras`: the masks."""
        return self.masks()

    def look(self, batch: Batch) -> Seen:
        """Run both networks.

        Args:
            batch: ``views`` holds S tensors (B, C, H, W), the T global ones first; ``extras`` holds
                ``mask`` (B, T, N) bool.
        """
        views, num_global = self.views(batch), self.context.num_views
        num_images = len(views[0])
        images = torch.cat(views[:num_global])  # (R, C, H, W)
        mask = batch.extras["mask"].to(images.device, non_blocking=True)
        mask = mask.transpose(0, 1).flatten(0, 1)  # (R, N)
        with torch.no_grad():
            teacher = encode(self.teacher["backbone"], images)
        student = encode(self._backbone(), images, mask, self.mask_token)
        local = encode_views(self._backbone(), views[num_global:])
        class_features = torch.cat([student.pooled, *(view.pooled for view in local)])  # (S * B, D)
        return Seen(
            images=images,
            mask=mask,
            picked=pick(mask, budget(len(mask), mask.shape[1], self._mask_args)),
            student=student,
            teacher=teacher,
            class_features=class_features.reshape(len(views), num_images, -1),
            teacher_class_features=teacher.pooled.reshape(num_global, num_images, -1),
            extras=batch.extras,
        )


def _check_size(name: str, patch: int, size: tuple[int, int]) -> None:
    if size[0] % patch or size[1] % patch:
        near = sorted({max(1, round(side / patch)) * patch for side in size})
        raise ConfigError(
            f"method '{name}' got images of {size[0]}x{size[1]} pixels, expected multiples of the "
            f"model's patch of {patch} pixels: patches are hidden one by one; set "
            f"transform_args.image_size={' or '.join(map(str, near))}"
        )
