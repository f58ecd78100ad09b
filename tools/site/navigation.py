"""The order of the pages, from the lists of `docs/README.md`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import define

_ENTRY = re.compile(r"- \[(?P<title>[^\]]+)\]\((?P<target>[^)#]+)\)")
#: The page with the lists.
CONTENTS = "docs/README.md"


@define(frozen=True)
class Entry:
    """A page in the navigation.

    Attributes:
        title: Title in the navigation.
        path: Path of the page, from the root of the repository.
    """

    title: str
    path: str


@define(frozen=True)
class Section:
    """A heading of the navigation with its pages."""

    title: str
    entries: tuple[Entry, ...]


def sections(root: Path) -> list[Section]:
    """Return the sections of `docs/README.md`."""
    text = (root / CONTENTS).read_text(encoding="utf-8")
    return [_section(part) for part in text.split("\n## ")[1:]]


def _section(text: str) -> Section:
    title, _, body = text.partition("\n")
    return Section(title.strip(), tuple(_entries(body)))


def _entries(body: str) -> Iterator[Entry]:
    for match in _ENTRY.finditer(body):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(CONTENTS), match["target"]))
        yield Entry(match["title"], path)
