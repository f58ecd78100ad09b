"""Log handlers of a run: the console, and `train.log` as soon as the folder exists."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from logging.handlers import MemoryHandler
from pathlib import Path
from types import TracebackType
from typing import TextIO

from lightly_core.data.names import harmless
from lightly_core.progress import close_bars, hidden

_LOGGERS = ("py.warnings", "lightning.pytorch", "lightning.fabric")
#: In each of Lightning's tips.
_TIP = "Tip:"


class RunLogs:
    """Context manager that attaches log handlers for one run.

    Records before `open_file` are kept in memory, so that a rejected run leaves no file.

    Args:
        first_process: Whether this is the first process. Others log errors only, to the console.
        plugins: Top-level packages of the plugins, which are logged like the core.
        to_stderr: Whether messages go to stderr, as stdout is for the result of the command.
    """

    def __init__(
        self, first_process: bool, plugins: Iterable[str] = (), *, to_stderr: bool = False
    ) -> None:
        self._first_process = first_process
        self._ours = {"lightly_core", *plugins}
        self._console = _Console(to_stderr)
        self._console.setFormatter(_ConsoleFormatter("%(message)s"))
        self._console.setLevel(logging.INFO if first_process else logging.ERROR)
        self._console.addFilter(self._for_the_user)
        self._memory = MemoryHandler(capacity=100_000, flushLevel=logging.CRITICAL + 1)
        self._memory.addFilter(_is_no_tip)
        self._file: _LogFile | None = None
        self._bars = nullcontext() if first_process else hidden()
        self._before: list[tuple[logging.Logger, int, bool, list[logging.Handler]]] = []

    def __enter__(self) -> RunLogs:
        """Attach the handlers."""
        self._bars.__enter__()
        for name in sorted({*_LOGGERS, *self._ours}):
            target = logging.getLogger(name)
            own = target.handlers[:]
            self._before.append((target, target.level, target.propagate, own))
            if name.startswith("lightning"):
                target.handlers = []  # they print records that belong in the file only
            target.setLevel(logging.DEBUG if name in self._ours else logging.INFO)
            target.propagate = False
            target.addHandler(self._console)
            target.addHandler(self._memory)
        logging.captureWarnings(True)
        return self

    def open_file(self, path: Path) -> None:
        """Write what was logged so far, and all that follows, to `path`."""
        if not self._first_process:
            return
        self._file = _LogFile(path, encoding="utf-8")
        self._file.setFormatter(_FileFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._file.addFilter(_is_no_tip)
        self._memory.setTarget(self._file)
        self._memory.flush()
        for target, *_ in self._before:
            target.removeHandler(self._memory)
            target.addHandler(self._file)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore every logger."""
        close_bars()
        self._bars.__exit__(None, None, None)
        if error is not None and self._file is not None:
            logging.getLogger(__name__).debug("The run ended with an error.", exc_info=error)
        logging.captureWarnings(False)
        for target, level, propagate, handlers in self._before:
            target.handlers = handlers
            target.setLevel(level)
            target.propagate = propagate
        self._memory.setTarget(None)
        self._memory.close()
        if self._file is not None:
            self._file.close()

    def _for_the_user(self, record: logging.LogRecord) -> bool:
        # Lightning's own notes (devices, tips) and the libraries' own warnings are for the file.
        if record.name.partition(".")[0] in self._ours:
            return True
        return record.levelno >= logging.WARNING and record.name != "py.warnings"


def _is_no_tip(record: logging.LogRecord) -> bool:
    """Return whether a record is none of Lightning's tips about its own products."""
    own = record.name.startswith("lightning")
    return not (own and _TIP in str(record.msg) and record.levelno < logging.WARNING)


@contextlib.contextmanager
def only_warnings() -> Iterator[None]:
    """Log nothing below warnings, as in a dry run."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


class _Console(logging.StreamHandler):  # type: ignore[type-arg] # not at run time in 3.10
    """Print to the current stdout, which prints above a bar while one is shown.

    If the reader closes the stream, as `head` does, it stops printing. The run continues.

    Args:
        to_stderr: Whether it prints to stderr.
    """

    def __init__(self, to_stderr: bool) -> None:
        logging.Handler.__init__(self)
        self._to_stderr = to_stderr

    @property
    def stream(self) -> TextIO:
        """The current stdout, or stderr if that is chosen or stdout is missing."""
        return sys.stderr if self._to_stderr else sys.stdout or sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:
        """Stop printing."""
        self.setLevel(logging.CRITICAL + 1)


class _LogFile(logging.FileHandler):
    """Write `train.log`. If this fails, as on a full disk, warn once."""

    _has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Warn on stderr once. Later records are tried again, as space may be freed."""
        if not self._has_failed:
            self._has_failed = True
            error = sys.exc_info()[1]
            print(f"warning: '{self.baseFilename}' cannot be written: {error}", file=sys.stderr)

    def close(self) -> None:
        """Close the file, even if the last records cannot be written."""
        with contextlib.suppress(OSError):
            super().close()


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Put the level before warnings and errors only. Tracebacks are in the file only."""
        message = harmless(record.getMessage().rstrip())
        if record.levelno >= logging.WARNING:
            return f"{record.levelname.lower()}: {message}"
        return message


class _FileFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Remove terminal control sequences."""
        return harmless(super().format(record))
