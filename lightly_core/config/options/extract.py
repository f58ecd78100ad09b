"""Settings of `lightly extract-frames`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, ge, le, optional

from lightly_core.config.options.checks import not_empty, workers
from lightly_core.config.options.foreign import ForeignKey
from lightly_core.config.options.videos import FrameArgs

#: Bits of the hash by which frames are compared.
HASH_BITS = 64


@define(frozen=True, kw_only=True)
class ExtractConfig(FrameArgs):
    """All settings of `lightly extract-frames` and `lightly_core.extract_frames`."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "frame_filename_format": ForeignKey(
            "frames are named by their time in milliseconds, such as 000012400.jpg; set format to "
            "jpg or png"
        )
    }

    videos: str | list[str] = field(
        validator=not_empty,
        metadata={
            "help": "folders (searched recursively), files, globs and text files of paths",
            "aliases": ("data",),
        },
    )
    out: str = field(
        validator=not_empty,
        metadata={"help": "folder to write, with a folder of frames for each video"},
    )
    size: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "pixels of the shorter side to which larger frames are shrunk; None: no change"
        },
    )
    format: Literal["jpg", "png"] = field(default="jpg", metadata={"help": "format of the images"})
    quality: int = field(
        default=95, validator=and_(ge(1), le(100)), metadata={"help": "quality of JPEGs"}
    )
    min_difference: int = field(
        default=0,
        validator=and_(ge(0), le(HASH_BITS)),
        metadata={
            "help": f"bits, of {HASH_BITS}, in which the difference hash of a frame must differ "
            "from all that were written of its video; 0: all frames are written"
        },
    )
    num_workers: int | Literal["auto"] = field(
        default="auto",
        validator=workers,
        metadata={"help": "videos that are read at once; auto: the CPUs of this process"},
    )
    overwrite: bool = field(
        default=False,
        metadata={"help": "remove the frames that `out` has of other settings, and write new ones"},
    )
