"""Base class of methods with an EMA teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar, cast

from torch import Tensor, nn

from lightly_core.config.options.teacher import TeacherConfig
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.contracts.method import Method
from lightly_core.contracts.model import ModelWrapper
from lightly_core.parts.ema import EmaTeacher
from lightly_core.parts.schedules import cosine

T = TypeVar("T", bound=TeacherConfig)

BatchNorm = Literal["own_statistics", "student_statistics"]


class Teacher(EmaTeacher):
    """The teacher of a method: an `EmaTeacher` with a backbone."""

    #: The teacher's backbone.
    backbone: ModelWrapper

    def pool(self, images: Tensor) -> Tensor:
        """Return the teacher's pooled features (B, D) of images (B, C, H, W)."""
        backbone = self.backbone
        pooled = backbone.forward_pool(backbone.forward_features(images))["pooled_features"]
        return pooled.flatten(1)

    @property
    def token_model(self) -> TokenModel:
        """The teacher's backbone in a method that requires the capability ``tokens``."""
        return cast(TokenModel, self.backbone)


class TeacherMethod(Method[T]):
    """Base class of methods with an EMA teacher.

    Call `add_teacher` at the end of `build`. The teacher is updated after each step. Its momentum
    is logged as ``schedule/teacher_momentum``. The option ``export`` chooses whether the teacher's
    or the student's backbone is exported.
    """

    teacher: Teacher
    _averaged_heads: tuple[str, ...] = ()

    def add_teacher(self, *heads: str, batch_norm: BatchNorm = "own_statistics") -> None:
        """Create ``self.teacher``, a copy of the backbone and of some heads.

        Args:
            *heads: Names of attributes of this method, such as ``"projector"``. The teacher's copy
                has the same name: ``self.teacher["projector"]``.
            batch_norm: ``own_statistics``: batch norms of the teacher use the statistics of the
                teacher's batch, as in MoCo, BYOL and DINO. ``student_statistics``: the teacher
                runs in evaluation mode with the running statistics of the student, as in DINOv2.
        """
        self._averaged_heads = heads
        own = batch_norm == "own_statistics"
        self.teacher = Teacher(
            self.student(),
            mode="batch_norm" if own else "eval",
            buffers="keep" if own else "copy",
        )

    def student(self) -> Mapping[str, nn.Module]:
        """Return the modules that the teacher averages, ``backbone`` first."""
        heads = {name: getattr(self, name) for name in self._averaged_heads}
        return {"backbone": self.model, **heads}

    def momentum(self, step: int) -> float:
        """Return the momentum of the teacher's update after step `step`, counted from 0."""
        start, end = float(self.config.momentum_start), self.config.momentum_end
        return cosine(step, start, end, self.context.total_steps)

    def scheduled_values(self, step: int) -> Mapping[str, float]:
        """Return the momentum as ``teacher_momentum``."""
        return {"teacher_momentum": self.momentum(step)}

    def after_step(self, step: int) -> None:
        """Update the teacher."""
        self.teacher.update_from(self.student(), self.momentum(step - 1))

    def exported_wrapper(self) -> ModelWrapper:
        """Return the teacher's backbone, or the student's with ``export="student"``."""
        return self.model if self.config.export == "student" else self.teacher.backbone
