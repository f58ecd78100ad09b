"""Reads each file separately and checks its pixels or its reason, the time and the memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
import numpy.typing as npt

from lightly_core.data.decode import decode
from lightly_core.data.library_messages import captured_messages
from lightly_core.data.pixels import UnreadableImage
from lightly_core.engine.memory import peak_process_memory
from tools.hostile.case import EITHER, IGNORED, LISTED, READ, Case, PixelArray
from tools.hostile.plain import plainly

_MOST_SECONDS = 20


@dataclass(frozen=True)
class Outcome:
    """The result of one file.

    Attributes:
        case: The file.
        what: ``read`` or ``listed``.
        reason: Reason for which it is listed.
        wrong: The problem; empty if there is none.
        seconds: Duration.
        compared: Whether the pixels were compared with independent ones.
    """

    case: Case
    what: str
    reason: str
    wrong: str
    seconds: float
    compared: bool


class _TooLong(BaseException):
    """Raised at the time limit. ``except Exception`` does not catch it."""


def read_alone(cases: Sequence[Case], folder: bytes) -> Iterator[Outcome]:
    """Read the files of a folder one after the other, with the settings of their cases."""
    for case in cases:
        yield _outcome(case, os.path.join(folder, case.name))


def most_memory() -> int:
    """Return the peak memory of this process so far, in MiB."""
    return (peak_process_memory() or 0) >> 20


def _outcome(case: Case, path: bytes) -> Outcome:
    started = time.monotonic()
    what, reason, wrong, compared = "read", "", "", False
    try:
        with _limit(), captured_messages():
            image = decode(os.fsdecode(path), case.channels, value_range=case.value_range)
            expected = _expected(case, path)
        compared = expected is not None
        wrong = "" if expected is None else _difference(case, np.asarray(image), expected)
    except UnreadableImage as error:
        what, reason = "listed", str(error)
        if case.must == READ:
            wrong = f"not read: {reason}"
        elif case.reason not in reason:
            wrong = f"reason '{reason}', expected '{case.reason}'"
        elif case.must == EITHER and not reason.strip():
            wrong = "listed without a reason"
    except _TooLong:
        wrong = f"took more than {_MOST_SECONDS} s"
    except Exception as error:  # any of them would stop a run
        wrong = f"{type(error).__name__}: {error}"
    else:
        if case.must in (LISTED, IGNORED):
            wrong = "read, expected to be listed"
    return Outcome(case, what, reason, wrong, time.monotonic() - started, compared)


def _expected(case: Case, path: bytes) -> PixelArray | None:
    """Return the expected pixels, None if they are not known."""
    if case.expected is not None or case.channels not in (1, 3):
        return case.expected
    return plainly(path, case.channels)


def _difference(case: Case, pixels: npt.NDArray[np.generic], expected: PixelArray) -> str:
    """Describe the difference between an image and the expected pixels, "" if there is none."""
    levels = pixels.astype(np.float64) * (1 if pixels.dtype == np.uint8 else 255)
    if levels.ndim == 2:
        levels = levels[:, :, None]
    if expected.shape != levels.shape:
        return f"shape {levels.shape}, expected {expected.shape}"
    difference = float(np.abs(levels - expected).mean())
    if difference <= case.tolerance:
        return ""
    return f"differs by {difference:.2f} levels on average, at most {case.tolerance} is allowed"


@contextmanager
def _limit() -> Iterator[None]:
    """Raise `_TooLong` at the time limit."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
