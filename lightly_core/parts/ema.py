"""EMA teacher: an exponential moving average of the student."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightly_core.parts.modes import set_modes, training_modes
from lightly_core.parts.sharding import local

Buffers = Literal["copy", "ema", "keep"]
Mode = Literal["eval", "train", "batch_norm"]

_Self = TypeVar("_Self", bound="EmaTeacher")


class EmaTeacher(nn.ModuleDict):
    """Exponential moving averages of the student's modules.

    Each update is ``teacher = m * teacher + (1 - m) * student``. The copies start equal to the
    student, get no gradient and are in no parameter group. Access them by name,
    ``teacher["head"]``. They are saved in the state dict. In a method::

        self.teacher = EmaTeacher({"backbone": self.model, "head": self.head})

        def after_step(self, step):
            momentum = scheduled(step - 1, total, kind="cosine", start=0.996, end=1.0)
            self.teacher.update_from({"backbone": self.model, "head": self.head}, momentum)

    Mean Teacher (https://arxiv.org/abs/1703.01780), MoCo (https://arxiv.org/abs/1911.05722), BYOL
    (https://arxiv.org/abs/2006.07733), DINO (https://arxiv.org/abs/2104.14294).

    Batch norms in the code of the papers: MoCo, BYOL and DINO run the teacher with the statistics
    of its own batch and keep its own running statistics, which is
    ``mode="batch_norm", buffers="keep"``. If the teacher runs in evaluation mode (DINOv2, and
    vision transformers in general), the running statistics must come from the student:
    ``mode="eval", buffers="copy"``. With ``ema`` they are averaged like the parameters.

    In half precision (``bf16-true``) a teacher with a momentum near 1 does not change, as its
    updates are below the precision of the weights.

    Args:
        student: Modules by name. They must be complete, without lazy layers.
        mode: Mode of the copies while the method trains. ``eval``: evaluation mode, without
            dropout and stochastic depth. ``batch_norm``: the same, but batch norms use the
            statistics of the batch. ``train``: as the student. Parts that stay in evaluation mode
            in the student stay so in the copy, see `lightly_core.parts.modes.training_modes`.
        buffers: What `update_from` does with floating-point buffers: ``copy`` them from the
            student, average them (``ema``), or ``keep`` the teacher's own. Other buffers
            (``num_batches_tracked``) are never averaged. ``copy`` and ``ema`` copy them.

    Raises:
        ValueError: There are no modules, or `mode` or `buffers` is unknown.
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
        """Set the mode chosen at construction, or evaluation mode."""
        super().train(False)
        for name, modes in self._student_modes.items() if mode else ():
            if self.mode == "train":
                set_modes(self[name], modes)
            elif self.mode == "batch_norm":
                for path, module in self[name].named_modules():
                    if isinstance(module, _BatchNorm):
                        module.train(modes[path])
        # The flag shows the requested mode, whatever the modes of the parts.
        self.training = mode
        return self

    @torch.no_grad()
    def update_from(self, student: Mapping[str, nn.Module], momentum: float) -> None:
        """Update the averages. Call it once after each optimizer step.

        Args:
            student: The modules that were copied, under the same names.
            momentum: m, in [0, 1]. With 1 the averages do not change, with 0 they are set to the
                student.

        Raises:
            ValueError: `momentum` is out of range, or the student has other modules.
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
                f"the student has {len(targets)} tensors, its copy {len(averages)}; create the "
                "teacher after all layers of the student exist"
            )
        if averages:
            torch._foreach_lerp_(local(averages), local(targets), 1.0 - momentum)
