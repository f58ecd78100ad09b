"""Headings, links and tables of a Markdown page, as GitHub reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import define

#: A code span, or the target of a link. Spans come first, so that they hide what is in them.
_SPAN_OR_LINK = re.compile(
    r"(?P<ticks>`+)(?:(?!(?P=ticks)).)+(?P=ticks)|\]\((?P<target>[^()\s]+)\)"
)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6}) +(.+?)(?: +#+)?\s*$")
_CELL_END = re.compile(r"(?<!\\)\|")
#: Bold words at the start of a paragraph name what the table below it shows.
_BOLD = re.compile(r"\*\*(.+?)[.,:]?\*\*")


@define(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        heading: Text of the heading above it.
        caption: Bold words at the start of a paragraph between the two; may be empty.
        head: Cells of its first row.
        rows: Cells of the other rows.
    """

    heading: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def lines_with_code(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it belongs to a block of code."""
    closing = None
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if closing is None:
            closing = fence[1] if fence else None
            yield line, fence is not None
        else:
            if fence and line.strip().startswith(closing) and not line.strip(f" {closing[0]}"):
                closing = None
            yield line, True


def change_links(text: str, change: Callable[[str], str]) -> str:
    """Return a page with other targets of links. Code is not changed."""

    def changed(match: re.Match[str]) -> str:
        target = match["target"]
        return match[0] if target is None else f"]({change(target)})"

    lines = [
        line if code else _SPAN_OR_LINK.sub(changed, line) for line, code in lines_with_code(text)
    ]
    return "\n".join(lines) + "\n"


def links(text: str) -> list[str]:
    """Return the targets of all links."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    change_links(text, note)
    return found


def headings(text: str) -> Iterator[tuple[int, str]]:
    """Yield level and text of each heading."""
    for line, code in lines_with_code(text):
        match = None if code else _HEADING.match(line)
        if match:
            yield len(match[1]), match[2]


def slug(heading: str) -> str:
    """Return the anchor of a heading, without the number that a repeated one gets."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return all anchors of a page: those of its headings, and explicit ones."""
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for _, heading in headings(text):
        name, number = slug(heading), 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return found


def tables(text: str) -> Iterator[Table]:
    """Yield the tables of a page, without those that are part of a list."""
    heading, caption, rows = "", "", list[tuple[str, ...]]()
    for line, code in [*lines_with_code(text), ("", False)]:
        if not code and line.startswith("|"):
            rows.append(_cells(line))
            continue
        if len(rows) > 1:
            yield Table(heading, caption, rows[0], tuple(rows[2:]))
        rows = []
        title = None if code else _HEADING.match(line)
        bold = None if code else _BOLD.match(line)
        if title:
            heading, caption = title[2], ""
        elif bold:
            caption = bold[1]


def table_text(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def prose(text: str) -> str:
    """Return a page without code and tables."""
    lines = [line for line, code in lines_with_code(text) if not code]
    return "\n".join(line for line in lines if not line.lstrip().startswith("|"))


def _cells(line: str) -> tuple[str, ...]:
    parts = _CELL_END.split(line.strip())
    return tuple(part.strip() for part in parts[1 : -1 if not parts[-1].strip() else None])
