"""Collects the errors of several checks, so that all are reported at once."""

from __future__ import annotations

from collections.abc import Callable

from lightly_core.errors import ConfigError


class Mistakes:
    """The errors of the checks that have failed so far."""

    def __init__(self) -> None:
        self._errors: list[ConfigError] = []

    def attempt(self, check: Callable[[], object]) -> None:
        """Run a check and keep its ConfigError. Other exceptions pass."""
        try:
            check()
        except ConfigError as error:
            self._errors.append(error)

    def raise_all(self) -> None:
        """Raise what was kept.

        Raises:
            ConfigError: Names all problems.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise ConfigError.of(text for error in self._errors for text in error.problems)
