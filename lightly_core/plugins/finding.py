"""Finds the installed distributions with a plugin entry point, without importing them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from attrs import frozen

from lightly_core.plugins.requirements import accepts, normalize, requirement_name

GROUP = "lightly.plugins"


@frozen(kw_only=True)
class FoundPlugin:
    """An entry point of the group, not imported yet.

    Attributes:
        name: Name of the entry point.
        distribution: Name of the distribution.
        version: Version of the distribution.
        value: Value of the entry point, a module.
        core_requirements: Requirements of the distribution on lightly-core.
        error: Why its metadata cannot be used; None: it can.
    """

    name: str
    distribution: str
    version: str
    value: str = ""
    core_requirements: tuple[str, ...] = ()
    error: str | None = None


def find_plugins() -> list[FoundPlugin]:
    """Return all plugins on the path, sorted by name and distribution.

    Of two copies of a distribution, the first on the path is used, as for imports. A distribution
    with broken metadata does not hide the others, unlike in `importlib.metadata.entry_points`.
    """
    found: dict[tuple[str, str], FoundPlugin] = {}
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        text = _read_entry_points(distribution)
        if GROUP not in text:
            continue
        name = _name(distribution)
        if normalize(name) in seen:
            continue
        seen.add(normalize(name))
        for plugin in _plugins_of(distribution, name):
            found.setdefault((plugin.name, plugin.distribution), plugin)
    return [found[key] for key in sorted(found)]


def incompatibility(plugin: FoundPlugin, core_version: str) -> str | None:
    """Return why a plugin does not fit this version of the core, or None if it does."""
    for requirement in plugin.core_requirements:
        if not accepts(requirement, core_version):
            return (
                f"needs {requirement.partition(';')[0].strip()}, "
                f"this is lightly-core {core_version}"
                f"\n  pip install -U lightly-core {plugin.distribution}"
            )
    return None


def _plugins_of(distribution: importlib.metadata.Distribution, name: str) -> Iterator[FoundPlugin]:
    try:
        version = distribution.version or ""
        requirements = tuple(
            text for text in distribution.requires or () if requirement_name(text) == "lightly-core"
        )
        entries = [
            (entry.name, entry.value) for entry in distribution.entry_points if entry.group == GROUP
        ]
    except Exception as error:  # metadata may be broken in any way
        yield FoundPlugin(
            name=name,
            distribution=name,
            version="",
            error=f"metadata cannot be read: {type(error).__name__}: {error}"
            f"\n  pip install --force-reinstall {name}",
        )
        return
    for entry_name, value in entries:
        yield FoundPlugin(
            name=entry_name,
            distribution=name,
            version=version,
            value=value,
            core_requirements=requirements,
        )


def _read_entry_points(distribution: importlib.metadata.Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return ""


def _name(distribution: importlib.metadata.Distribution) -> str:
    try:
        name = distribution.metadata["Name"]
    except Exception:  # the type depends on the Python version
        name = None
    return name or "unnamed distribution"
