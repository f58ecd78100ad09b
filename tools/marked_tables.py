"""Replaces tables between marks on a page of the docs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_BEGIN, _END = "<!-- begin: {} -->\n", "<!-- end: {} -->\n"


def replaced(text: str, name: str, content: str) -> str:
    """Replace what is between the marks of a name on a page.

    Raises:
        ValueError: A mark is missing.
    """
    begin, end = _BEGIN.format(name), _END.format(name)
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the page has no '{begin.strip()}' and '{end.strip()}'")
    return f"{before}{begin}{content}{end}{after}"


def write(path: Path, tables: Mapping[str, str]) -> None:
    """Replace the tables of a page."""
    text = path.read_text(encoding="utf-8")
    for name, content in tables.items():
        text = replaced(text, name, content)
    path.write_text(text, encoding="utf-8")
