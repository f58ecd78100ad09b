"""Methods whose targets come from a moving average of the student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import nn

from lightly_core.config.teacher import TeacherConfig
from lightly_core.methods.inputs import as_module
from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.schedules import cosine
from lightly_core.protocols import Method, ModelWrapper


class TeacherMethod(Method):
    """Base of methods with a teacher.

    A subclass builds its modules and then sets ``self.teacher``, an `EmaTeacher` of what `student`
    returns.
    """

    config: TeacherConfig
    teacher: EmaTeacher

    def student(self) -> Mapping[str, nn.Module]:
        """Return the modules that the teacher is a copy of; ``backbone`` is one of them."""
        return {"backbone": as_module(self.model)}

    def momentum(self, step: int) -> float:
        """Return the momentum of the teacher behind the step that follows `step` others."""
        start, end = float(self.config.momentum_start), self.config.momentum_end
        return cosine(step, start, end, self.context.total_steps)

    def after_step(self, step: int) -> None:
        """Let the teacher follow."""
        self.teacher.follow(self.student(), self.momentum(step - 1))

    def exported_wrapper(self) -> ModelWrapper:
        """Return the teacher's backbone, or the student."""
        if self.config.export == "student":
            return self.model
        return cast(ModelWrapper, self.teacher["backbone"])
