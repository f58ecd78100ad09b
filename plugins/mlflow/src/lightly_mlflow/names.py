"""Names and values as MLflow accepts them."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

log = logging.getLogger(__name__)

#: Longest name of a metric, a parameter or a tag.
LONGEST_NAME = 250
#: Longest value of a parameter.
LONGEST_VALUE = 6000
#: Longest value of a tag.
LONGEST_TAG = 8000

# Colons are allowed too, but not by servers on Windows.
_NOT_ALLOWED = re.compile(r"[^/\w.\- ]")


class MetricNames:
    """Maps names of metrics to names that MLflow accepts, and says so once for each.

    Args:
        prefix: Put before every name.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._mapped: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return the name on the server."""
        if name not in self._mapped:
            self._mapped[name] = self._new(self._prefix + name)
        return self._mapped[name]

    def _new(self, wanted: str) -> str:
        used = set(self._mapped.values())
        allowed = legal_name(wanted)
        number = 2
        result = allowed
        while result in used:
            result = f"{allowed[: LONGEST_NAME - 10]}_{number}"
            number += 1
        if result != wanted:
            log.warning("MLflow does not accept the name '%s'; it is '%s' there", wanted, result)
        return result


def legal_name(name: str) -> str:
    """Return the nearest name that MLflow accepts; the same name if it is accepted.

    Names may become paths of files, so they must not be absolute, nor have empty parts.
    """
    name = _NOT_ALLOWED.sub("_", name)
    name = posixpath.normpath(name).lstrip("/")
    if name.startswith(".."):
        name = name.replace("..", "_")
    return "_" if name in ("", ".") else name[:LONGEST_NAME]


def flat_params(config: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as parameters, with names joined by dots, and long values cut.

    Args:
        config: Nested plain data.

    Returns:
        Texts by name. Lists are one value. An empty group is ``{}``.
    """
    params: dict[str, str] = {}
    for name, value in _leaves(config, ""):
        text = str(value)
        if len(text) > LONGEST_VALUE:
            text = f"{text[: LONGEST_VALUE - 3]}..."
        params.setdefault(legal_name(name), text)
    return params


def _leaves(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, object]]:
    for key, value in config.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
