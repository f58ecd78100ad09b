"""Environment variables that a library reads, set for as long as a logger sends."""

from __future__ import annotations

import os
from collections.abc import Mapping


class Variables:
    """Sets environment variables until `restore`. Those that the user has set are kept.

    Args:
        wanted: Values by name.
    """

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._set = {name: value for name, value in wanted.items() if name not in os.environ}
        os.environ.update(self._set)

    def restore(self) -> None:
        """Remove the variables again, unless they have another value now."""
        for name, value in self._set.items():
            if os.environ.get(name) == value:
                del os.environ[name]
