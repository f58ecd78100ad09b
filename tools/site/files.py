"""Checks of the files of the site, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Words that a reader searches for, and the page that must be among those found.
_SEARCHES = {
    "collapse": "is-it-learning",
    "simclr": "methods/simclr",
    "gradient_accumulation_steps": "settings",
    "wandb": "loggers",
    "sinkhorn": "reference/parts/sinkhorn",
}


class _Page(HTMLParser):
    """The links, loaded files and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("script", "img", "source", "iframe") and "src" in values:
            self.loaded.append(values["src"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(values["href"])


def check_files(folder: Path) -> list[str]:
    """Return the problems of a built site: broken links, loaded addresses, searches."""
    texts = {file: file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*.html"))}
    pages = {file.resolve(): _Page(text) for file, text in texts.items()}
    problems = list(searches(folder))
    for file, page in pages.items():
        name = file.relative_to(folder.resolve()).as_posix()
        problems += [f"{name}: {problem}" for problem in _problems(file, page, pages)]
    return problems


def _problems(file: Path, page: _Page, pages: dict[Path, _Page]) -> Iterator[str]:
    for address in (address for address in page.loaded if urlsplit(address).netloc):
        yield f"loads {address}, so it does not work offline"
    for address in [*page.links, *page.loaded]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not target.exists():
            yield f"link to {address}, which does not exist"
            continue
        anchors = pages[target].anchors if target in pages else None
        if parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors:
            yield f"link to {address}, whose anchor does not exist"


def searches(folder: Path) -> Iterator[str]:
    """Yield the searches that do not find their page in the index of Sphinx."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(re.sub(r"^Search\.setIndex\(|\)\s*;?\s*$", "", text))
    for word, page in _SEARCHES.items():
        found = {index["docnames"][number] for number in _documents(index, word)}
        if page not in found:
            yield f"a search for '{word}' finds {sorted(found)}, not {page}"


def _documents(index: dict[str, dict[str, int | list[int]]], word: str) -> Iterator[int]:
    """Yield the numbers of the pages whose text or title has a word or its beginning."""
    for part in ("terms", "titleterms"):
        for term, numbers in index[part].items():
            if word.startswith(term[:5]) and (term in word or word in term):
                yield from [numbers] if isinstance(numbers, int) else numbers
