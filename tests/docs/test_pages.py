"""Pages: their links, their place in the contents, and their length."""

from functools import cache
from pathlib import Path

import pytest

from tools.site.markdown import anchors, links, prose
from tools.site.navigation import CONTENTS, sections

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    *DOCS,
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
    ROOT / "tools/site/front.md",
]
#: A reference of all methods. The site has a page for each of them instead.
OF_METHODS = ROOT / "docs/method-settings.md"
#: Words that are read in ten minutes.
MOST_WORDS = 2000


def name(page):
    return page.relative_to(ROOT).as_posix()


@cache
def anchors_of(page):
    return anchors(page.read_text(encoding="utf-8"))


def broken(page):
    """The links of a page that lead to no file, or to no heading."""
    folder = ROOT / "docs" if page.name == "front.md" else page.parent
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = folder / path if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(file.resolve())):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    assert list(broken(page)) == []


def test_every_page_is_in_the_contents_once():
    listed = [entry.path for section in sections(ROOT) for entry in section.entries]
    assert len(set(listed)) == len(listed)

    others = {CONTENTS, name(OF_METHODS)}
    assert {name(page) for page in DOCS} - others <= set(listed)


@pytest.mark.parametrize("page", [page for page in DOCS if page != OF_METHODS], ids=name)
def test_a_page_is_read_in_ten_minutes(page):
    # Tables and code are looked at, and not read.
    assert len(prose(page.read_text(encoding="utf-8")).split()) <= MOST_WORDS
