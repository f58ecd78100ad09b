"""Draws the bars of `lightly_core.progress`. What draws is imported when the first bar is shown."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from lightly_core.streams import is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_TEXT_BAR_WIDTH = 24


class Display(Protocol):
    """Bars below each other, each with a key. No error of the terminal is raised."""

    def update(self, key: int, what: str, fraction: float | None, text: str) -> None:
        """Draw a bar; a new key adds one. A fraction of None is one that is not known."""

    def remove(self, key: int) -> None:
        """Remove a bar."""

    def close(self) -> None:
        """Remove all bars and restore the terminal."""


def open_display() -> Display:
    """Return what draws here: rich in a terminal and on widgets, else text in a notebook."""
    if is_terminal(sys.stderr):
        return RichDisplay(notebook=False)
    if importlib.util.find_spec("ipywidgets") is not None:
        return RichDisplay(notebook=True)
    if "IPython" in sys.modules:
        return TextDisplay()
    return RichDisplay(notebook=False)


class RichDisplay:
    """Bars by rich, on stderr or in a widget of the notebook.

    It has no thread of its own: a process that is forked while a thread draws may wait forever.

    Args:
        notebook: Whether to draw in a widget.
    """

    def __init__(self, *, notebook: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        if notebook:
            console = Console(force_jupyter=True)
        else:
            console = Console(file=sys.stderr, force_jupyter=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=self._bar_width(console)),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=not notebook and is_terminal(sys.stdout),
            redirect_stderr=not notebook,
        )
        self._console: Console = console
        self._tasks: dict[int, TaskID] = {}
        with suppress(OSError, ValueError):
            self._progress.start()

    @staticmethod
    def _bar_width(console: Console) -> int:
        return max(min(console.width // 5, 40), 4)

    def update(self, key: int, what: str, fraction: float | None, text: str) -> None:
        """Draw a bar."""
        total = None if fraction is None else 1.0
        room = self._console.width - self._bar_width(self._console) - len(what) - 3
        if len(text) > room:
            text = f"{text[: max(room - 1, 0)]}…"
        with suppress(OSError, ValueError):  # the terminal was closed
            if key not in self._tasks:
                self._tasks[key] = self._progress.add_task(what, total=total, text=text)
            self._progress.update(
                self._tasks[key],
                description=what,
                completed=fraction or 0.0,
                text=text,
                refresh=True,
            )

    def remove(self, key: int) -> None:
        """Remove a bar."""
        task = self._tasks.pop(key, None)
        if task is not None:
            self._progress.remove_task(task)

    def close(self) -> None:
        """Remove all bars."""
        with suppress(OSError, ValueError):
            self._progress.stop()


class TextDisplay:
    """Bars of letters in the output of a notebook's cell, replaced at each update."""

    def __init__(self) -> None:
        display = importlib.import_module("IPython.display").display
        self._lines: dict[int, str] = {}
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, key: int, what: str, fraction: float | None, text: str) -> None:
        """Draw a bar."""
        filled = round((fraction or 0.0) * _TEXT_BAR_WIDTH)
        bar = "" if fraction is None else f" [{'#' * filled:-<{_TEXT_BAR_WIDTH}}]"
        self._lines[key] = f"{what}{bar} {text}"
        self._draw()

    def remove(self, key: int) -> None:
        """Remove a bar."""
        self._lines.pop(key, None)

    def close(self) -> None:
        """Remove all bars."""
        self._lines.clear()
        self._draw()

    def _draw(self) -> None:
        self._handle.update({"text/plain": "\n".join(self._lines.values())}, raw=True)
