"""Collects all mistakes in the settings before an error is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lightly_core.config.reading.merging import Layers
from lightly_core.errors import ConfigError, PluginError

T = TypeVar("T")


class Problems:
    """Collects the mistakes in the settings, so that one error names all of them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._errors: list[ConfigError | PluginError] = []

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._lines)

    def add(self, *lines: str) -> None:
        """Add problems, one line each."""
        self._lines += lines

    def attempt(self, make: Callable[[], T], at: str = "") -> T | None:
        """Return what `make` returns. If it raises, keep its error and return None."""
        try:
            return make()
        except (ConfigError, PluginError) as error:
            self._errors.append(error)
            texts = error.problems if isinstance(error, ConfigError) else (str(error),)
            self._lines += [f"{at}: {text}" if at else text for text in texts]
            return None

    def raise_all(self, layers: Layers) -> None:
        """Raise all problems, each with the place of its setting. No problem: no error."""
        lines = layers.located(self._lines)
        if len(self._errors) == 1 == len(lines):
            error = self._errors[0]  # keeps its class, for those who catch it
            if lines == self._lines:
                raise error
            raise type(error)(lines[0]) from error
        if lines:
            raise ConfigError.of(lines)
