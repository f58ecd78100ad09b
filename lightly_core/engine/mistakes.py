"""Collects the errors of several checks, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lightly_core.errors import ConfigError

T = TypeVar("T")


class Mistakes:
    """The errors of the checks that have failed so far."""

    def __init__(self) -> None:
        self._errors: list[ConfigError] = []

    def attempt(self, check: Callable[[], T]) -> T | None:
        """Return the result of a check; None if its ConfigError was kept. Other errors pass."""
        try:
            return check()
        except ConfigError as error:
            self._errors.append(error)
            return None

    def raise_all(self) -> None:
        """Raise what was kept.

        Raises:
            ConfigError: Names all problems.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise ConfigError.of(text for error in self._errors for text in error.problems)
