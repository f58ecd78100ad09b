"""Standard input, output and error, which may be missing: closed by a caller, or under pythonw."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal; False for none, a closed one and a foreign object."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


def open_missing_streams() -> None:
    """Give this process the standard streams that its caller has closed; they lead nowhere.

    Without them the next file that is opened takes the place of a missing one, and what a library
    writes to its output would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
