"""Lines that the descriptions of methods and of models share."""

from __future__ import annotations

from collections.abc import Iterator

from lightly_core.plugins.loading import missing_requirements
from lightly_core.plugins.records import Record


def licence_and_requirements(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the licence of a record's library where it differs, and how to install what is missing.

    Args:
        record: What a plugin provides.

    Yields:
        Pairs for `lightly_core.terminal.definitions`.
    """
    if record.licence:
        yield "licence", record.licence
    lacking = missing_requirements(record)
    if lacking:
        yield "missing", "pip install " + " ".join(f"'{name}'" for name in lacking)
