"""Which frames of videos are used: options of the data source, written after its text."""

from __future__ import annotations

from attrs import Attribute, define, field
from attrs.validators import ge, optional

from lightly_core.config.options.checks import not_negative, positive

#: Frames for each second if no other rule is given.
DEFAULT_FPS = 1.0


@define(frozen=True, kw_only=True)
class FrameArgs:
    """Which frames of each video are used. Times are those of the frames, not their numbers."""

    fps: float | None = field(
        default=None,
        validator=optional(positive),
        metadata={
            "help": "frames for each second of a video: the first frame of each interval of 1/fps "
            "seconds; None: 1, unless `every_n_frames` or `key_frames` is set"
        },
    )
    every_n_frames: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "every n-th frame, beginning with the first; 1: all frames"},
    )
    key_frames: bool = field(
        default=False,
        metadata={
            "help": "only key frames, which are decoded without the frames between them; `fps` or "
            "`every_n_frames` then chooses among these"
        },
    )
    max_frames: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "most frames of a video, from its beginning; None: no limit"},
    )

    @every_n_frames.validator
    def _one_rule(self, attribute: Attribute[int | None], value: int | None) -> None:
        fps = getattr(self, "fps", None)  # missing if it is of the wrong type
        if value is not None and fps is not None:
            raise ValueError(f"'every_n_frames' is {value} and 'fps' is {fps}; give one of them")

    def rate(self) -> float | None:
        """Return the frames for each second; None: `every_n_frames` or `key_frames` decides."""
        if self.fps is None and self.every_n_frames is None and not self.key_frames:
            return DEFAULT_FPS
        return self.fps


@define(frozen=True, kw_only=True)
class VideoDataArgs(FrameArgs):
    """Which frames of videos are images, and how many of them are kept on this machine."""

    cache_size: float = field(
        default=20.0,
        validator=not_negative,
        metadata={
            "help": "GiB of frames that are kept on this machine, as JPEGs of quality 95; 0: each "
            "frame is decoded from its video whenever it is used"
        },
    )
