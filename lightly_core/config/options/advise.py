"""Settings of `lightly advise`."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from attrs.validators import and_, gt, optional

from lightly_core.config.options.checks import finite, not_empty, one_of
from lightly_core.config.options.settings import PythonObject


@define(frozen=True, kw_only=True)
class AdviseConfig:
    """All settings of `lightly advise` and `lightly_core.advise`."""

    data: str | list[str] | PythonObject = field(
        validator=not_empty, metadata={"help": "images to pretrain on, as for `lightly run`"}
    )
    model: str | PythonObject | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "'library/name', or (Python) a module or wrapper; None: a ResNet by the number "
            "of images and the time"
        },
    )
    model_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "arguments of the model's constructor"}
    )
    method: str | None = field(
        default=None,
        metadata={"help": "method that is to be used; None: the best one that was measured"},
    )
    hours: float = field(
        default=1.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "hours that the run may take"},
    )
    accelerator: str = field(
        default="auto",
        validator=one_of("auto", "cpu", "gpu", "cuda", "mps"),
        metadata={"help": "'cpu', 'gpu', 'mps' or 'auto'"},
    )
    seconds: float = field(
        default=10.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds for which training steps are measured, and reading as well"},
    )
