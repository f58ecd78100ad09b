"""A teacher that is the moving average of its student."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightly_core.parts.modes import set_modes, training_modes

Buffers = Literal["copy", "ema", "keep"]
Mode = Literal["eval", "train", "batch_norm"]

_Self = TypeVar("_Self", bound="EmaTeacher")


class EmaTeacher(nn.ModuleDict):
    """Copies of the student's modules that follow them slowly.

    Each update is ``teacher = m * teacher + (1 - m) * student``. The copies are equal to the
    student at the start, take no gradient and are in no group of an optimizer. They are reached by
    name, ``teacher["head"]``, and saved in the state dict. In a method::

        self.teacher = EmaTeacher({"backbone": self.model, "head": self.head})

        def after_step(self, step):
            momentum = scheduled(step - 1, total, kind="cosine", start=0.996, end=1.0)
            self.teacher.update_from({"backbone": self.model, "head": self.head}, momentum)

    Mean Teacher (https://arxiv.org/abs/1703.01780), MoCo (https://arxiv.org/abs/1911.05722), BYOL
    (https://arxiv.org/abs/2006.07733), DINO (https://arxiv.org/abs/2104.14294).

    What the papers' code does with batch norms: MoCo, BYOL and DINO run the teacher on the
    statistics of its own batch and let its running statistics move on their own, which is
    ``mode="batch_norm", buffers="keep"``. Where the teacher runs in evaluation mode (DINOv2, and
    vision transformers in general), running statistics must come from the student:
    ``mode="eval", buffers="copy"``. With ``ema`` they are averaged like the parameters.

    In half precision (``bf16-true``) an average with a momentum near 1 stands still, as its steps
    are below the precision of the weights.

    Args:
        student: Modules by name; complete, without layers that are made in the first forward pass.
        mode: What the copies do while the method trains. ``eval``: as in evaluation, without
            dropout and stochastic depth. ``batch_norm``: the same, but batch norms use the
            statistics of the batch. ``train``: as the student. In each case a part stays in
            evaluation mode whose original in the student does, see
            `lightly_core.parts.modes.training_modes`.
        buffers: What `update_from` does with floating-point buffers: ``copy`` them from the
            student, average them (``ema``), or ``keep`` the teacher's own. Other buffers
            (``num_batches_tracked``) are never averaged: they are copied in the first two cases.

    Raises:
        ValueError: There are no modules, or an option is another word.
    """

    def __init__(
        self,
        student: Mapping[str, nn.Module],
        *,
        mode: Mode = "eval",
        buffers: Buffers = "copy",
    ) -> None:
        if not student:
            raise ValueError("expected at least one module of the student, got none")
        if mode not in ("eval", "train", "batch_norm"):
            raise ValueError(f"mode must be 'eval', 'train' or 'batch_norm', got {mode!r}")
        if buffers not in ("copy", "ema", "keep"):
            raise ValueError(f"buffers must be 'copy', 'ema' or 'keep', got {buffers!r}")
        super().__init__({name: copy.deepcopy(module) for name, module in student.items()})
        self.mode = mode
        self.buffer_rule = buffers
        self._student_modes = {name: training_modes(part) for name, part in student.items()}
        self.requires_grad_(False)
        self.train()

    def train(self: _Self, mode: bool = True) -> _Self:
        """Set the mode that was chosen at the start, or evaluation mode."""
        super().train(False)
        for name, modes in self._student_modes.items() if mode else ():
            if self.mode == "train":
                set_modes(self[name], modes)
            elif self.mode == "batch_norm":
                for path, module in self[name].named_modules():
                    if isinstance(module, _BatchNorm):
                        module.train(modes[path])
        # As others look at it, a teacher in training is one, whatever its modules do.
        self.training = mode
        return self

    @torch.no_grad()
    def update_from(self, student: Mapping[str, nn.Module], momentum: float) -> None:
        """Move towards the student; once after each optimizer step.

        Args:
            student: The modules that were copied, by the same names.
            momentum: m, in [0, 1]: 1 changes no average, 0 copies the student.

        Raises:
            ValueError: `momentum` is out of its range, or the student has other modules.
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"expected a momentum in [0, 1], got {momentum}")
        if student.keys() != self.keys():
            raise ValueError(f"expected the modules {list(self)}, got {list(student)}")
        averages: list[Tensor] = []
        targets: list[Tensor] = []
        for name, copied in self.items():
            averages += copied.parameters()
            targets += student[name].parameters()
            if self.buffer_rule == "keep":
                continue
            for own, new in zip(copied.buffers(), student[name].buffers(), strict=True):
                if self.buffer_rule == "ema" and own.is_floating_point():
                    averages.append(own)
                    targets.append(new)
                else:
                    own.copy_(new)
        if len(averages) != len(targets):
            raise ValueError(
                f"the student has {len(targets)} tensors, its copy {len(averages)}; make the "
                "teacher when the student is complete"
            )
        if averages:
            torch._foreach_lerp_(averages, targets, 1.0 - momentum)
