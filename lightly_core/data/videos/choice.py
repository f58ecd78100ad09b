"""Chooses the frames of a video by their times."""

from __future__ import annotations

import math

from lightly_core.config.options.videos import FrameArgs

#: Times are sums of fractions, so that a frame at 2 s may be at 1.9999999 s.
_ROUNDING = 1e-6


class FrameChoice:
    """Decides for each frame of one video, in the order of time, whether it is used.

    Of a video with a variable frame rate, equally many frames are used for each second. An interval
    without a frame has none.

    Args:
        options: The rules. That of `key_frames` is left to the caller, who skips other frames.

    Attributes:
        done: Whether no further frame will be used.
    """

    def __init__(self, options: FrameArgs) -> None:
        self._rate = options.rate()
        self._every = options.every_n_frames or 1
        self._left = math.inf if options.max_frames is None else options.max_frames
        self._seen = -1
        self._interval = -math.inf
        self.done = False

    def takes(self, seconds: float) -> bool:
        """Return whether the next frame is used.

        Args:
            seconds: Its time since the beginning of the video.
        """
        self._seen += 1
        if self.done or not self._due(seconds):
            return False
        self._left -= 1
        self.done = self._left == 0
        return True

    def give_back(self) -> None:
        """Undo the count of the last frame, which is left out for another reason."""
        self._left += 1
        self.done = False

    def _due(self, seconds: float) -> bool:
        if self._rate is None:
            return self._seen % self._every == 0
        interval = math.floor(seconds * self._rate + _ROUNDING)
        due = interval > self._interval
        if due:
            self._interval = interval
        return due
