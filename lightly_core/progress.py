"""Shows the progress of long work: a bar in a terminal or notebook, now and then a line elsewhere.

Nothing is shown of work that takes less than two seconds. The clock is read to show progress only,
so no result depends on it.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from lightly_core.amounts import bytes_text
from lightly_core.progress_display import Display, open_display
from lightly_core.streams import is_terminal

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Environment variable that chooses how progress is shown.
VARIABLE = "LIGHTLY_PROGRESS"

#: Seconds before anything is shown, and between two updates of a bar.
START_SECONDS, LOOK_SECONDS = 2.0, 0.1
#: Seconds between two lines: the first at least, and the second if less than a tenth of the work
#: was done meanwhile.
LINE_SECONDS, SLOW_LINE_SECONDS = 10.0, 60.0

_OFF = ("off", "0", "false", "no", "none")

_active: list[Task] = []
_display: Display | None = None
_hidden = 0


class Task:
    """A piece of work. Use `progress` to create one.

    Attributes:
        what: What is done, such as ``Reading images``. It may be changed at any time.
        done: How much is done.
        note: Further text, shown instead of the rate, such as a loss. It may be changed too.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        done: int,
        write: Callable[[str], None] | None,
    ) -> None:
        self.what = what
        self.total = total
        self.done = done
        self.note = ""
        self._unit = unit
        self._first = done
        self._started = self._looked = self._shown = time.monotonic()
        self._write = write or _log
        self._next, self._step = done + 1, 1
        self._line_at, self._line_done = self._started, done
        self._mode: tuple[bool, bool] | None = None

    def advance(self, count: int = 1) -> None:
        """Add to what is done. It takes less than a tenth of a microsecond on most calls."""
        self.done += count
        if self.done >= self._next:
            self._look()

    def reach(self, done: int) -> None:
        """Set what is done."""
        self.done = done
        if done >= self._next:
            self._look()

    def _look(self) -> None:
        """Read the clock, choose when to read it again, and show what is due."""
        now = time.monotonic()
        passed = now - self._looked
        self._looked = now
        if passed < LOOK_SECONDS / 2:
            self._step *= 2
        elif passed > 2 * LOOK_SECONDS:
            self._step = max(1, self._step // 2)
        self._next = self.done + self._step
        if now - self._started >= START_SECONDS and now - self._shown >= LOOK_SECONDS / 2:
            self._shown = now
            self._show(now)

    def _show(self, now: float) -> None:
        if self._mode is None:
            self._mode = _mode()
            if self._mode[0]:
                _open_bar(self)
        bar, lines = self._mode
        if bar and _display is not None:
            _display.update(id(self), self.what, self.fraction(), self.text(now))
        if lines:
            self._write_line(now)

    def _write_line(self, now: float) -> None:
        if self.done == self.total:
            return  # what comes next is logged by the work itself
        passed = now - self._line_at
        tenth = self.total is not None and 10 * (self.done - self._line_done) >= self.total
        if passed >= SLOW_LINE_SECONDS or (passed >= LINE_SECONDS and (tenth or not self.total)):
            self._line_at, self._line_done = now, self.done
            self._write(f"{self.what}: {self.text(now)}")

    def fraction(self) -> float | None:
        """Return what is done as a fraction; None if the whole is not known."""
        return min(self.done / self.total, 1.0) if self.total else None

    def text(self, now: float) -> str:
        """Return what is done, how fast, and the time left."""
        rate = (self.done - self._first) / max(now - self._started, 1e-9)
        fraction = self.fraction()
        parts = [_amount(self.done, self._unit)]
        if self.total and fraction is not None:
            parts = [f"{_amount(self.done, '')} of {_amount(self.total, self._unit)}"]
            if self._unit == "bytes":
                parts = [f"{_amount(self.done, 'bytes')} of {_amount(self.total, 'bytes')}"]
            parts[0] += f" ({100 * fraction:.0f} %)"
        if rate > 0 and not self.note:
            parts.append(f"{_amount(rate, 'bytes' if self._unit == 'bytes' else '')}/s")
        if self.total and rate > 0:
            parts.append(f"{_duration((self.total - self.done) / rate)} left")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)

    def close(self) -> None:
        """Remove the bar."""
        global _display
        if self in _active:
            _active.remove(self)
            if _display is not None:
                _display.remove(id(self))
        if not _active and _display is not None:
            _display.close()
            _display = None


@contextmanager
def progress(
    what: str,
    total: int | None = None,
    *,
    unit: str = "images",
    done: int = 0,
    write: Callable[[str], None] | None = None,
) -> Iterator[Task]:
    """Show the progress of the work in a ``with`` block, which calls `Task.advance`.

    In a terminal it is a bar on stderr, in a notebook a widget or a text. Elsewhere it is a line in
    the log, every ten seconds at most. Bars of work inside other work are shown below each other.
    The environment variable ``LIGHTLY_PROGRESS`` is ``off``, ``lines`` or ``bar``; ``TQDM_DISABLE``
    switches it off too.

    Args:
        what: What is done, such as ``Reading images``.
        total: The whole; None if it is not known.
        unit: What is counted, in the plural; ``bytes`` is shown in kB, MB, GB and TB.
        done: How much was done earlier.
        write: Writes a line; None: it is logged.
    """
    task = Task(what, total, unit, done, write)
    try:
        yield task
    finally:
        task.close()


def tracked(
    items: Iterable[T], what: str, total: int | None = None, *, unit: str = "images"
) -> Iterator[T]:
    """Yield the items and show how many were taken. The arguments are those of `progress`."""
    with progress(what, total, unit=unit) as task:
        for item in items:
            yield item
            task.advance()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show how long the ``with`` block takes, for work that cannot tell what is done.

    A thread counts the seconds, so the block must not fork processes.

    Args:
        what: What is done, such as ``Writing onnx``.
    """
    stop = threading.Event()
    with progress(what, unit="s") as task:
        task.note = "still working"

        def count() -> None:
            while not stop.wait(1.0):
                task.advance()

        thread = threading.Thread(target=count, name="lightly-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def hidden() -> Iterator[None]:
    """Show no bar in the ``with`` block, as in all processes of a run but the first."""
    global _hidden
    _hidden += 1
    try:
        yield
    finally:
        _hidden -= 1


def close_bars() -> None:
    """Remove all bars, also those of loops that an error has left."""
    for task in tuple(_active):
        task.close()


def _log(line: str) -> None:
    logger.info("%s", line)


def _open_bar(task: Task) -> None:
    global _display
    if _display is None:
        atexit.register(close_bars)
        _display = open_display()
    _active.append(task)


def _mode() -> tuple[bool, bool]:
    """Return whether progress is shown here by a bar, and whether by lines."""
    wanted = os.environ.get(VARIABLE, "").lower()
    if _hidden or wanted in _OFF or _is_set("TQDM_DISABLE"):
        return False, False
    if wanted not in ("", "auto", "lines", "bar"):
        _warn_once(wanted)
    if wanted == "lines" or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False, True
    if wanted == "bar" or in_notebook():
        return True, False
    # With stdout in a file the bar is for the reader of the terminal, the lines for the file.
    return is_terminal(sys.stderr), not (is_terminal(sys.stderr) and is_terminal(sys.stdout))


@functools.cache
def _warn_once(wanted: str) -> None:
    logger.warning("%s: expected off, lines, bar or auto, got '%s'", VARIABLE, wanted)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "false")


def _amount(number: float, unit: str) -> str:
    if unit == "bytes":
        return bytes_text(number)
    shown = f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"
    return f"{shown} {unit}".rstrip()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
