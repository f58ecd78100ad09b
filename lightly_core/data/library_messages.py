"""Captures messages of libraries while an image is read: warnings, log records and libtiff's.

They would otherwise appear on the terminal, often by the thousand and without the name of the
file. Messages are captured per thread. Those of other threads are not affected.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import PIL
from PIL import features

from lightly_core.data.names import shown

logger = logging.getLogger(__name__)

#: Name of an image, and a message that a library issued while it was read.
Note = tuple[str, str]

#: Loggers of the libraries that read images, including their child loggers.
_LOGGERS = tuple(
    logging.getLogger(name) for name in ("PIL", "tifffile", "pydicom", "pillow_heif", "imagecodecs")
)
_MOST_NOTES = 8
_MOST_LETTERS = 300

_caught = threading.local()
_lock = threading.Lock()
_num_capturing = 0
_before: list[Any] = []


@contextmanager
def captured_messages() -> Iterator[list[str]]:
    """Capture messages of libraries in this thread; yields the list to which they are added.

    At most 8 different messages are kept, without line breaks.
    """
    outer = getattr(_caught, "notes", None)
    _caught.notes = notes = list[str]()
    _silence_libtiff()
    _start()
    try:
        yield notes
    finally:
        _stop()
        _caught.notes = outer


class NoteLog:
    """Writes messages of libraries to `train.log`, not to the terminal, once for each kind.

    Messages that differ only in numbers are of one kind.
    """

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def add(self, notes: Iterable[Note]) -> None:
        """Log messages of a new kind, with the name of the image."""
        for name, text in notes:
            kind = re.sub(r"\d+", "#", text)
            if kind in self._kinds or len(self._kinds) >= 1000:
                continue
            self._kinds.add(kind)
            logger.debug(
                "While '%s' was read: %s (this kind of message is written once)",
                shown(name),
                shown(text),
            )


def _note(text: str) -> bool:
    """Keep a message; return False if this thread does not capture messages."""
    notes: list[str] | None = getattr(_caught, "notes", None)
    if notes is None:
        return False
    line = " ".join(text.split())[:_MOST_LETTERS]
    if line not in notes and len(notes) < _MOST_NOTES:
        notes.append(line)
    return True


# --------------------------------------------------------------------------- Python


class _Catcher(logging.Handler):
    """Keeps records of warnings and errors; passes on those of threads that do not capture."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, or pass it to the handlers that it would have reached."""
        if record.levelno < logging.WARNING:
            return
        if not _note(f"{record.name.partition('.')[0]}: {record.getMessage()}"):
            logging.getLogger().handle(record)


_CATCHER = _Catcher()


def _start() -> None:
    """Install the handlers, unless another thread has done so."""
    global _num_capturing
    with _lock:
        _num_capturing += 1
        if _num_capturing > 1:
            return
        _before[:] = [warnings.showwarning]
        warnings.showwarning = _show_warning
        for target in _LOGGERS:
            _before.append((target, target.handlers, target.propagate))
            # Not `addHandler`, whose lock takes longer than the rest of this function.
            target.handlers, target.propagate = [*target.handlers, _CATCHER], False


def _stop() -> None:
    """Remove the handlers, unless another thread still captures messages."""
    global _num_capturing
    with _lock:
        _num_capturing -= 1
        if _num_capturing:
            return
        show, *loggers = _before
        if warnings.showwarning is _show_warning:
            warnings.showwarning = show
        for target, handlers, propagate in loggers:
            target.handlers, target.propagate = handlers, propagate


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if file is not None or not _note(f"{category.__name__}: {message}"):
        _before[0](message, category, filename, lineno, file, line)


# --------------------------------------------------------------------------- libtiff


@functools.cache
def _silence_libtiff() -> None:
    """Capture libtiff's messages instead of printing them, once per process.

    libtiff has one message handler per process. The library is the one that Pillow includes or
    that of the system. If it cannot be found, messages stay on the terminal.
    """
    library = _libtiff()
    if library is None:
        return
    for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
        setter = getattr(library, name)
        setter.argtypes = [ctypes.c_void_p]
        setter.restype = ctypes.c_void_p
        setter(ctypes.cast(_handler(), ctypes.c_void_p))


@functools.cache
def _handler() -> Any:  # noqa: ANN401
    """Return the function that libtiff calls: ``(module, format, va_list)``. It must stay alive."""
    format_text = ctypes.CDLL(None).vsnprintf
    format_text.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]

    def handle(module: bytes | None, form: bytes, arguments: int) -> None:
        text = ctypes.create_string_buffer(1024)
        format_text(text, len(text), form, arguments)
        message = f"libtiff: {(module or b'').decode(errors='replace')}: "
        message += text.value.decode(errors="replace")
        if not _note(message) and sys.stderr is not None:
            print(shown(message), file=sys.stderr)

    form = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    return form(handle)


def _libtiff() -> ctypes.CDLL | None:
    """Find the libtiff that Pillow has loaded."""
    # The systems listed here pass a va_list as a pointer.
    if sys.platform not in ("linux", "darwin") or not features.check("libtiff"):
        return None
    folder = os.path.dirname(PIL.__file__)
    patterns = (f"{folder}/../[pP]illow.libs/libtiff*", f"{folder}/.dylibs/libtiff*")
    found = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    found += [] if found else _mapped()
    for path in found:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def _mapped() -> list[str]:
    """Return the paths of the loaded libraries named libtiff; on Linux only."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(maxsplit=5)[-1].strip() for line in file if "/libtiff" in line}
    except OSError:
        return []
    return sorted(paths)
