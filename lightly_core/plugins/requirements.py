"""Checks requirements such as ``timm>=1.0`` against the installed packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_PLAIN_REQUIREMENT = re.compile(r"\s*[A-Za-z0-9._-]+\s*(?:\[[^\]]*\])?\s*\(?([\d\s.,<>=!]*)\)?\s*$")
_PLAIN_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*(\d+(?:\.\d+)*)\s*$")
_PLAIN_VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:\+[A-Za-z0-9.]+)?$")

_COMPARE = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def normalize(name: str) -> str:
    """Return a distribution's name in the normalized form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """Return the normalized name of the distribution that is required.

    Raises:
        ValueError: `requirement` does not start with a name.
    """
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"expected a requirement such as 'timm>=1.0', got {requirement!r}")
    return normalize(match[1])


def accepts(requirement: str, version: str) -> bool:
    """Return whether a requirement accepts a version of the distribution that it names.

    A requirement whose marker is false in this environment accepts every version.

    Args:
        requirement: As in ``Requires-Dist``.
        version: An installed version, pre-releases and local parts (``+cpu``) included.
    """
    plain = _accepts_plain(requirement, version)
    if plain is not None:
        return plain
    # This import takes as long as the rest of the start-up, so plain requirements avoid it.
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return True
    return parsed.specifier.contains(version, prereleases=True)


def missing(requirements: Iterable[str]) -> list[tuple[str, str | None]]:
    """Return the requirements that are not met, each with the installed version or None."""
    result: list[tuple[str, str | None]] = []
    for requirement in requirements:
        name = requirement_name(requirement)
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # A package without metadata, such as a source checkout, is accepted.
            if importlib.util.find_spec(name.replace("-", "_")) is None:
                result.append((requirement, None))
            continue
        if not accepts(requirement, version):
            result.append((requirement, version))
    return result


def _accepts_plain(requirement: str, version: str) -> bool | None:
    """Return whether the version is accepted; None if a version has parts that are not numbers."""
    match = _PLAIN_REQUIREMENT.match(requirement)
    installed = _PLAIN_VERSION.match(version)
    if match is None or installed is None:
        return None
    number = _release(installed[1])
    result = True
    for text in filter(str.strip, match[1].split(",")):
        clause = _PLAIN_CLAUSE.match(text)
        if clause is None:
            return None
        result = result and _COMPARE[clause[1]](number, _release(clause[2]))
    return result


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without zeros at the end, so that 1.0 equals 1."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
