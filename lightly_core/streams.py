"""Handles standard streams that are missing: closed by the caller, or under pythonw."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal. False for None, a closed stream or another object."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the caller of this process has closed.

    Otherwise the next file that is opened gets the number of a closed stream, and the output of a
    library would be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
