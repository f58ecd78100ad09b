"""What the whole family shares: a teacher that follows, heads, and a start to keep to.

Shapes: B images, S views of which T are global, D features, N = h * w positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightly_core.contracts import Batch, ModelWrapper, RunContext, StepResult
from lightly_core.errors import ConfigError
from lightly_core.methods.inputs import as_module
from lightly_core.methods.teacher import Teacher, TeacherMethod
from lightly_core.optim.groups import (
    ParameterGroup,
    default_parameter_groups,
    split_by_factor,
)
from lightly_core.parts.ema import Buffers, EmaTeacher, Mode
from lightly_core.parts.layer_decay import layer_decay_factors
from lightly_core.parts.prototypes import freeze_gradients
from lightly_dino.config import SelfDistillationConfig
from lightly_dino.features import Features, encode
from lightly_dino.loss import anchor_loss


class SelfDistillation(TeacherMethod[SelfDistillationConfig]):
    """Base of the methods: student, heads, teacher.

    Args:
        config: Options of the method.
        model: Student.
        context: Facts of the run.
        heads: What is put on top of the student, by name; they begin equal in the teacher.

    Raises:
        ConfigError: There is a single view, or a batch of one image.
    """

    #: How the teacher runs while the student trains, see `EmaTeacher`. In DINO's code batch norms
    #: of the teacher use its own batches.
    teacher_mode: ClassVar[Mode] = "batch_norm"
    teacher_buffers: ClassVar[Buffers] = "keep"

    def __init__(
        self,
        config: SelfDistillationConfig,
        model: ModelWrapper,
        context: RunContext,
        heads: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(config, model, context)
        _check_context(context)
        self.heads = nn.ModuleDict(dict(heads))
        self.teacher = Teacher(self.student(), mode=self.teacher_mode, buffers=self.teacher_buffers)
        # In the checkpoint: a resumed run could else not know where the first one began.
        self.start = EmaTeacher({"backbone": self._backbone()}) if config.anchor_weight else None

    def student(self) -> dict[str, nn.Module]:
        """Return the modules that the teacher is a copy of."""
        return {"backbone": self._backbone(), **dict(self.heads.items())}

    def before_step(self, step: int) -> None:
        """Leave the backbone alone while the heads warm up."""
        freeze_gradients(self._backbone(), step=step, num_steps=self.config.head_warmup_steps)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Split parameters by decay and learning rate: that of the backbone may be lower."""
        config = self.config
        factors = {id(p): config.backbone_lr_factor for p in self.model.parameters()}
        if config.layer_decay < 1 or config.patch_embed_lr_factor != 1:
            try:
                by_name = layer_decay_factors(
                    self._backbone(),
                    config.layer_decay,
                    embedding_factor=config.patch_embed_lr_factor,
                )
            except ValueError as error:
                raise ConfigError(
                    f"layer_decay={config.layer_decay} and patch_embed_lr_factor="
                    f"{config.patch_embed_lr_factor} do not fit the model: {error}\n  set both to "
                    "1 in method_args"
                ) from error
            for name, parameter in self._backbone().named_parameters():
                factors[id(parameter)] *= by_name[name]
        return split_by_factor(default_parameter_groups(self), factors)

    def views(self, batch: Batch) -> list[Tensor]:
        """Return all views, the T = `RunContext.num_views` global ones first.

        Raises:
            ConfigError: There are fewer than the global ones.
        """
        if len(batch.views) < self.context.num_views:
            raise ConfigError(
                f"the transform made {len(batch.views)} views of an image, expected at least the "
                f"{self.context.num_views} global ones of transform_args.num_views"
            )
        return batch.views

    def result(
        self,
        step: int,
        terms: Sequence[tuple[str, float, Tensor]],
        metrics: Mapping[str, Tensor | float],
        *,
        student: Sequence[Features],
        images: Sequence[Tensor],
        visible: Tensor | None = None,
    ) -> StepResult:
        """Add up the loss, with the anchor if there is one.

        Args:
            step: Optimizer steps taken so far.
            terms: Name, weight and value of the parts.
            metrics: What else is recorded.
            student: The student's features of the global views, together R = T * B rows.
            images: These views, together (R, C, H, W).
            visible: Positions that the student has seen, (R, N) bool; None: all.
        """
        terms = list(terms)
        if self.start is not None:
            own = Features(*(torch.cat(parts) for parts in zip(*student, strict=True)))
            with torch.no_grad():
                before = encode(self.start["backbone"], torch.cat(list(images)))
            anchor = anchor_loss(own, before, visible)
            terms.append(("anchor", self.config.anchor_weight, anchor))
        loss = terms[0][1] * terms[0][2]
        for _, weight, value in terms[1:]:
            loss = loss + weight * value
        return StepResult(
            loss,
            {
                **{f"train_loss/{name}": value.detach() for name, _, value in terms},
                **metrics,
                "schedule/teacher_momentum": self.momentum(step),
            },
        )

    def _backbone(self) -> nn.Module:
        return as_module(self.model)


def _check_context(context: RunContext) -> None:
    if context.num_views < 2:
        raise ConfigError(
            f"got transform_args.num_views={context.num_views}, expected at least 2 global views: "
            "the student predicts what the teacher sees in another view"
        )
    if context.global_batch_size < 2:
        raise ConfigError(
            f"got batch_size={context.global_batch_size}, expected at least 2 (256 and more work "
            "well): what keeps all images from looking alike is taken over the batch; set a larger "
            "batch_size, or add images if the data has only one"
        )
