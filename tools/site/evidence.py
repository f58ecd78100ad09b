"""What the measured pages say about a method: parity, and what it was seen to learn."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define

from tools.site.markdown import Table, change_links, slug, tables

_PARITY = "docs/parity.md"
#: Tables of the comparison of training steps, and of numbers of processes, with clearer titles.
_PARITY_TABLES = {"Methods": "Losses and training steps", "1, 2 and 3 processes": ""}
#: Pages with results, in the order in which they are shown.
_RESULTS = (
    "docs/benchmarks.md",
    "docs/first-hour.md",
    "docs/shipped-suites.md",
    "plugins/dino/README.md",
    "plugins/methods/README.md",
)
#: A column of such a table is a result.
_ACCURACY = re.compile(r"kNN|linear|accuracy|after", re.IGNORECASE)


@define(frozen=True)
class Found:
    """Rows of a table that are about one method.

    Attributes:
        page: Path of the page, from the root of the repository.
        table: The table, with these rows alone.
    """

    page: str
    table: Table

    @property
    def link(self) -> str:
        """Heading and caption of the table, as a link for a page in `docs/methods`."""
        address = posixpath.relpath(self.page, "docs/methods")
        heading = _PARITY_TABLES.get(self.table.heading) or _plain(self.table.heading)
        title = ", ".join(filter(None, (heading, self.table.caption)))
        return f"[{title}]({address}#{slug(self.table.heading)})"


def parity_of(method: str, root: Path) -> list[Found]:
    """Return the rows of docs/parity.md about a method."""
    rows = _rows(method, _PARITY, root)
    return [found for found in rows if found.table.heading in _PARITY_TABLES]


def results_of(method: str, root: Path) -> list[Found]:
    """Return the rows about a method in all tables of results."""
    return [
        found
        for page in _RESULTS
        for found in _rows(method, page, root)
        if any(map(_ACCURACY.search, found.table.head))
    ]


def _rows(method: str, page: str, root: Path) -> Iterator[Found]:
    text = (root / page).read_text(encoding="utf-8")
    text = change_links(text, lambda target: _from_methods(target, page))
    for table in tables(text):
        column = table.head.index("method") if "method" in table.head else 0
        rows = tuple(row for row in table.rows if _is_about(row[column], method))
        if rows:
            rows = tuple(row for row in table.rows if row in rows or _is_baseline(row))
            yield Found(page, Table(table.heading, table.caption, table.head, rows))


def _from_methods(target: str, page: str) -> str:
    """Return a link of a page as one of a page in `docs/methods`."""
    path, hash_, anchor = target.partition("#")
    if ":" in path:
        return target
    path = posixpath.join(posixpath.dirname(page), path) if path else page
    return f"{posixpath.relpath(path, 'docs/methods')}{hash_}{anchor}"


def _is_about(cell: str, method: str) -> bool:
    """Return whether a cell names a method, perhaps with options."""
    return cell == method or re.match(rf"`{re.escape(method)}`(?:,|$)", cell) is not None


def _is_baseline(row: Sequence[str]) -> bool:
    return row[0].startswith(("untrained", "the teacher"))


def _plain(heading: str) -> str:
    return heading.replace("`", "")
