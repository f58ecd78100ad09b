"""Collects the mistakes of rows, to report each once with all rows that have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lightly_core.errors import ConfigError, PluginError

T = TypeVar("T")


class Mistakes:
    """Mistakes, and the rows that have each."""

    def __init__(self) -> None:
        self._rows: dict[str, list[str]] = {}

    def add(self, row: str, texts: Sequence[str]) -> None:
        """Add mistakes of a row."""
        for text in texts:
            rows = self._rows.setdefault(text, [])
            if row not in rows:
                rows.append(row)

    def texts(self) -> list[str]:
        """Return all mistakes without their rows."""
        return list(self._rows)

    def lines(self, num_rows: int) -> list[str]:
        """Return one text for each mistake. It names all rows that have it."""
        found = []
        for text, rows in self._rows.items():
            names = ", ".join(f"'{row}'" for row in rows)
            everywhere = len(rows) == num_rows > 1
            where = "all rows" if everywhere else f"row{'s' * (len(rows) > 1)} {names}"
            found.append(f"{where}: {text}")
        return found

    def collect(
        self,
        row: str,
        make: Callable[[], T],
        located: Callable[[Sequence[str]], Sequence[str]] = tuple,
    ) -> T | None:
        """Return the result of `make`. Where it fails, keep the mistakes and return None.

        Args:
            row: Name of the row.
            make: The function.
            located: Names in each mistake where the setting was given.
        """
        try:
            return make()
        except ConfigError as error:
            self.add(row, located(error.problems))
        except PluginError as error:
            self.add(row, [str(error)])
        return None
