"""Opens the pages of the site in a browser: widths, contrast, messages, requests, search."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.browser import Page, chromium

#: Width of the window, and whether the system prefers dark.
_VIEWS = ((1400, False), (1400, True), (400, False), (400, True))
_NARROW = 400
#: Pages that are opened in all views, and of which pictures are taken.
_CHOSEN = (
    "index",
    "quick-start",
    "choosing-a-method",
    "methods",
    "methods/simclr",
    "methods/dinov2",
    "faq",
    "tutorial-method",
    "settings",
    "architecture",
    "reference/functions",
    "reference/parts/contrast",
)
_SEARCH = "search.html?q=collapse"
#: Least contrast of text, of WCAG 2.2, criterion 1.4.3.
_LEAST_CONTRAST = 4.5
_SCRIPT = Path(__file__).with_name("look.js")


def check_looks(folder: Path, shots: Path | None) -> list[str]:
    """Open every page in a narrow window, some in all views, and search.

    Args:
        folder: The built site.
        shots: Folder for pictures of the chosen pages; None: no pictures.

    Returns:
        The problems.
    """
    others = [page for page in _all_pages(folder) if page not in _CHOSEN]
    problems = []
    with served(folder) as address, chromium() as driver:
        for name in _CHOSEN:
            for width, dark in _VIEWS:
                page = _open(driver, f"{address}/{name}.html", name, width, dark)
                problems += _problems(page, address)
                _shoot(page, shots, f"{name.replace('/', '-')}-{width}{'-dark' if dark else ''}")
        for name in others:
            page = _open(driver, f"{address}/{name}.html", name, _NARROW, False)
            problems += _problems(page, address)
        for start in (address, folder.resolve().as_uri()):
            problems += _searched(driver, start, shots)
    return problems


def _all_pages(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.html")):
        yield file.relative_to(folder).with_suffix("").as_posix()


def _open(driver: Any, address: str, name: str, width: int, dark: bool) -> Page:  # noqa: ANN401
    return Page(driver, address, name, width, dark, _SCRIPT.read_text(encoding="utf-8"))


def _problems(page: Page, address: str) -> list[str]:
    wide, window = page.look("widths")
    found = [f"{one} is wider than the window" for one in page.look("tooWide")]
    if wide > window:
        found.append(f"the page is {wide} px wide in a window of {window} px")
    found += [f"console: {message}" for message in page.console()]
    found += [f"requests {one}" for one in page.requests() if not one.startswith(address)]
    texts = page.run("return page.contrastOfTexts(arguments[0])", _LEAST_CONTRAST)
    found += [f"contrast: {text}" for text in texts]
    return [f"{page.name}: {problem}" for problem in found]


def _searched(driver: Any, start: str, shots: Path | None) -> Iterator[str]:  # noqa: ANN401
    """Search from the server, and from files as a reader without a server does."""
    scheme = start.partition(":")[0]
    page = _open(driver, f"{start}/{_SEARCH}", f"search by {scheme}", _NARROW, False)
    if not page.wait(lambda: page.look("results")):
        yield f"{page.name}: no results of {_SEARCH}"
    if scheme == "http":
        yield from _problems(page, start)
        _shoot(page, shots, "search-400")


def _shoot(page: Page, shots: Path | None, name: str) -> None:
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
        page.screenshot(shots / f"{name}.png")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; yield its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
