"""Options of the data source, written after its text: ``wds:a.tar?buffer=5000``."""

from __future__ import annotations

import re

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.options.checks import not_empty, positive

_LABEL = re.compile(r"(?![^:]*json$)[^:]+|[^:]*json:[^:]+")


@define(frozen=True, kw_only=True)
class WebDatasetArgs:
    """Which files of a sample are used, and in what order samples are read."""

    image: str | None = field(
        default=None,
        validator=not_empty,
        metadata={
            "help": "extensions of the image, the first that a sample has: 'jpg;png'; None: the "
            "first file of a sample with the ending of an image"
        },
    )
    label: str = field(
        default="cls",
        validator=not_empty,
        metadata={
            "help": "extension of the file with the class as text, or 'json:FIELD' for a field of "
            "a JSON file"
        },
    )
    buffer: int = field(
        default=2000,
        validator=ge(1),
        metadata={
            "help": "samples that are shuffled together; shards are read in random order, and "
            "few at a time"
        },
    )
    cache_size: float = field(
        default=20.0,
        validator=positive,
        metadata={"help": "GiB of shards from URLs and commands that are kept on this machine"},
    )

    @label.validator
    def _known_label(self, attribute: object, value: str) -> None:
        if not _LABEL.fullmatch(value):
            raise ValueError(f"'label' must be an extension or 'json:FIELD', got '{value}'")
