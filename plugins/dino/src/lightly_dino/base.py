"""Base of the DINO family: heads, a teacher, and what the shared options ask for.

Shapes: R global views of all images, C channels, D features, N patches of a view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.contracts import StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.teacher import BatchNorm, Teacher, TeacherMethod
from lightly_core.optim.groups import (
    ParameterGroup,
    default_parameter_groups,
    split_by_factor,
)
from lightly_core.parts.distributed import reduce_mean_with_gradient
from lightly_core.parts.layer_decay import layer_decay_factors
from lightly_core.parts.precision import no_autocast, single
from lightly_core.parts.prototypes import DinoHead, freeze_gradients
from lightly_dino.base_config import PrototypeConfig, SelfDistillationConfig
from lightly_dino.features import Features, encode

S = TypeVar("S", bound=SelfDistillationConfig)


class SelfDistillation(TeacherMethod[S]):
    """Base of the family. It implements the options that all of its methods have.

    A subclass calls `add_heads` in `build`, and adds `with_anchor` to the loss of its step.

    - ``head_warmup_steps``: the backbone is frozen while the heads warm up.
    - ``freeze_last_layer_steps``: prototypes are frozen in the first steps, see appendix A of DINO.
    - ``teacher_temp``: its value in each step is logged.
    - ``backbone_lr_factor``, ``layer_decay``, ``patch_embed_lr_factor``: learning rates.
    - ``anchor_weight``: features stay near those of the untouched backbone.
    """

    heads: nn.ModuleDict
    start: Teacher | None

    def add_heads(self, heads: Mapping[str, nn.Module], *, batch_norm: BatchNorm) -> None:
        """Create the student's heads, the teacher, and the copy for the anchor.

        Args:
            heads: By name; ``self.teacher`` has copies under the same names.
            batch_norm: See `TeacherMethod.add_teacher`.
        """
        self.heads = nn.ModuleDict(dict(heads))
        self.add_teacher(batch_norm=batch_norm)
        # In the checkpoint: otherwise a resumed run could not know where the first one began.
        self.start = Teacher({"backbone": self.model}) if self.config.anchor_weight else None

    def student(self) -> dict[str, nn.Module]:
        """Return the modules that the teacher is a copy of."""
        return {"backbone": self.model, **dict(self.heads.items())}

    def with_anchor(
        self,
        result: StepResult,
        features: Sequence[Features],
        images: Sequence[Tensor],
        *,
        visible: Tensor | None = None,
    ) -> StepResult:
        """Add `anchor_loss` to the loss of a step, if ``anchor_weight`` is not 0.

        Args:
            result: The method's own loss and metrics.
            features: The student's features of the global views, together R rows.
            images: These views, together (R, C, H, W).
            visible: Patches that are not masked, (R, N) bool; None: all.
        """
        if self.start is None:
            return result
        own = Features(*(torch.cat(parts) for parts in zip(*features, strict=True)))
        with torch.no_grad():
            start = encode(self.start.backbone, torch.cat(list(images)))
        anchor = anchor_loss(own, start, visible)
        return StepResult(
            result.loss + self.config.anchor_weight * anchor,
            {**result.metrics, "train_loss/anchor": anchor.detach()},
        )

    def scheduled_values(self, step: int) -> Mapping[str, float]:
        """Return the momentum and, where there are prototypes, the teacher's temperature."""
        values = dict(super().scheduled_values(step))
        config: SelfDistillationConfig = self.config
        if isinstance(config, PrototypeConfig):
            values["teacher_temp"] = config.teacher_temperature(step, self.context.total_steps)
        return values

    def before_step(self, step: int) -> None:
        """Freeze the backbone while the heads warm up, and the prototypes at the beginning."""
        config: SelfDistillationConfig = self.config
        freeze_gradients(self.model, step=step, num_steps=config.head_warmup_steps)
        if isinstance(config, PrototypeConfig):
            for head in self.heads.values():
                if isinstance(head, DinoHead):
                    steps = int(config.freeze_last_layer_steps)
                    freeze_gradients(head.prototypes, step=step, num_steps=steps)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Split the parameters by weight decay and by learning rate."""
        config = self.config
        factors = {id(p): config.backbone_lr_factor for p in self.model.parameters()}
        if config.layer_decay < 1 or config.patch_embed_lr_factor != 1:
            try:
                by_name = layer_decay_factors(
                    self.model, config.layer_decay, embedding_factor=config.patch_embed_lr_factor
                )
            except ValueError as error:
                raise ConfigError(
                    f"layer_decay={config.layer_decay} and patch_embed_lr_factor="
                    f"{config.patch_embed_lr_factor} do not fit the model: {error}\n  set both to "
                    "1 in method_args"
                ) from error
            for name, parameter in self.model.named_parameters():
                factors[id(parameter)] *= by_name[name]
        return split_by_factor(default_parameter_groups(self), factors)


def loss_parts(**parts: Tensor) -> dict[str, Tensor]:
    """Return the parts of a loss as metrics, ``train_loss/<name>``, without gradient."""
    return {f"train_loss/{name}": part.detach() for name, part in parts.items()}


def anchor_loss(student: Features, start: Features, visible: Tensor | None = None) -> Tensor:
    """Measure how far features have moved from those of the untouched backbone.

    The mean of ``1 - cos`` of the pooled features, plus that of all patches.

    Args:
        student: Features (R, D) and (R, N, D).
        start: The same of the untouched backbone, no gradient.
        visible: Patches that count, (R, N) bool; None: all.

    Returns:
        Scalar in [0, 4], at least float32; 0 where all directions are the same.
    """
    with no_autocast(student.pooled.device):
        pooled = 1 - _cosine(student.pooled, start.pooled).mean()
        patches = 1 - _cosine(student.patches, start.patches)  # (R, N)
        if visible is None:
            return pooled + patches.mean()
        counted = visible.to(patches)
        # Processes mask different numbers of patches. Each patch has the same weight in all.
        count = reduce_mean_with_gradient(counted.sum())
        return pooled + (patches * counted).sum() / count.clamp(min=1)


def _cosine(student: Tensor, fixed: Tensor) -> Tensor:
    return F.cosine_similarity(single(student), single(fixed.detach()), dim=-1)
