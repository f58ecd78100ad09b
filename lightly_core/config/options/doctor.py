"""Settings of `lightly doctor`."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from attrs.validators import and_, ge, gt, optional

from lightly_core.config.options.checks import finite, not_empty, one_of
from lightly_core.config.options.settings import Precision, PythonObject


@define(frozen=True, kw_only=True)
class DoctorConfig:
    """All settings of `lightly doctor` and `lightly_core.doctor`."""

    data: str | list[str] | PythonObject | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "images whose reading is measured, as for `lightly run`; None: nothing"},
    )
    model: str | PythonObject | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "'library/name', or (Python) a module or wrapper: with `data`, and on a device "
            "with memory of its own, the largest batch is tried"
        },
    )
    method: str | None = field(
        default=None,
        metadata={"help": "method whose views are created; None: `distillation`, or another one"},
    )
    method_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of the method"}
    )
    model_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "arguments of the model's constructor"}
    )
    transform_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of the augmentation, such as `image_size`"}
    )
    batch_size: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "images per forward pass with which the search for the largest begins"},
    )
    accelerator: str = field(
        default="auto",
        validator=one_of("auto", "cpu", "gpu", "cuda", "mps"),
        metadata={"help": "'cpu', 'gpu', 'mps' or 'auto'"},
    )
    precision: Precision = field(default="auto", metadata={"help": "number format of training"})
    num_images: int = field(
        default=128, validator=ge(1), metadata={"help": "images that are read at most"}
    )
    seconds: float = field(
        default=10.0,
        validator=and_(finite, gt(0)),
        metadata={"help": "seconds after which no further image is read"},
    )
