"""Options of the data source, written after its text: ``hf:beans?split=validation``."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.options.checks import not_empty, positive


@define(frozen=True, kw_only=True)
class HuggingFaceArgs:
    """Which part of a data set is used, and which columns."""

    split: str = field(
        default="train",
        validator=not_empty,
        metadata={"help": "part of the data set, also 'train[:10%]' and 'train+test'"},
    )
    image: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "column of the images; None: the first one that has images"},
    )
    label: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "column of the classes; None: the first one that has classes"},
    )
    subset: str | None = field(
        default=None,
        validator=not_empty,
        metadata={"help": "name of the configuration of a data set that has several"},
    )
    revision: str | None = field(
        default=None, validator=not_empty, metadata={"help": "version on the hub; None: the newest"}
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "fetch parts of the data set when they are needed, not all before the start"
        },
    )
    buffer: int = field(
        default=2000,
        validator=ge(1),
        metadata={"help": "with streaming: samples that are shuffled together"},
    )
    cache_size: float = field(
        default=20.0,
        validator=positive,
        metadata={"help": "with streaming: GiB of samples that are kept on this machine"},
    )
