"""The placeholder ``{out}`` in settings, by which a row names files of an earlier row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lightly_core.config.options.fields import Plain

#: Placeholder for the folder of the suite.
OUT = "{out}"


def filled(value: Plain, folder: str) -> Plain:
    """Replace the placeholder by the suite's folder, in nested settings."""
    if isinstance(value, str):
        return value.replace(OUT, folder)
    if isinstance(value, Mapping):
        return {key: filled(member, folder) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(member, folder) for member in value]
    return value


def rows_named(settings: Sequence[Plain], earlier: Sequence[str]) -> tuple[str, ...]:
    """Return the earlier rows whose files settings name.

    Args:
        settings: Nested settings with placeholders.
        earlier: Names of the rows before this one.

    Returns:
        Some of `earlier`; all of them where a text does not say which one.
    """
    found: set[str] = set()
    for text in _texts(settings):
        for part in text.split(OUT)[1:]:
            name = part.replace("\\", "/").lstrip("/").partition("/")[0]
            found |= {name} if name in earlier else set(earlier)
    return tuple(name for name in earlier if name in found)


def _texts(value: Plain) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from _texts(member)
