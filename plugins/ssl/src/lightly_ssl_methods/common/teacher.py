"""Methods whose targets come from a moving average of the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from torch import nn

from lightly_core.optim.groups import ParameterGroup
from lightly_core.parts.ema import EmaTeacher
from lightly_core.protocols import Method, ModelWrapper
from lightly_ssl_methods.common.options import TeacherConfig
from lightly_ssl_methods.common.tokens import as_module


class TeacherMethod(Method):
    """Base of methods with a teacher.

    A subclass builds its modules and then sets ``self.teacher``.
    """

    config: TeacherConfig
    teacher: EmaTeacher

    def student(self) -> Mapping[str, nn.Module]:
        """Return the modules that the teacher is a copy of; ``backbone`` is one of them."""
        return {"backbone": as_module(self.model)}

    def momentum(self, step: int) -> float:
        """Return the momentum of the teacher behind the step that follows `step` others."""
        raise NotImplementedError

    def after_step(self, step: int) -> None:
        """Let the teacher follow."""
        self.teacher.follow(self.student(), self.momentum(step - 1))

    def exported_wrapper(self) -> ModelWrapper:
        """Return the teacher's backbone, or the student."""
        if self.config.export == "student":
            return self.model
        return cast(ModelWrapper, self.teacher["backbone"])


def without_decay(
    groups: Sequence[ParameterGroup], name: str, module: nn.Module
) -> list[ParameterGroup]:
    """Move the parameters of a module into a group that is not decayed.

    Args:
        groups: All groups of a method; not changed.
        name: Of the new group.
        module: Part of the method.
    """
    moved = {id(parameter): parameter for parameter in module.parameters()}
    rest = [
        replace(group, parameters=[p for p in group.parameters if id(p) not in moved])
        for group in groups
    ]
    rest.append(ParameterGroup(name, list(moved.values()), weight_decay=False))
    return [group for group in rest if group.parameters]
