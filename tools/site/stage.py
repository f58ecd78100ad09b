"""Copies the pages of the repository to the folder of sources that Sphinx reads."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tools.site.layers import without_mermaid
from tools.site.markdown import change_links, headings
from tools.site.method_pages import method_pages
from tools.site.navigation import Section, sections
from tools.site.reference import reference_pages

#: Pages whose place in the site is not that of the repository.
_MOVED = {"README.md": "index", "docs/README.md": "index", "docs/method-settings.md": "methods"}
#: Modules that pages link to, and the pages that describe them.
_MODULES = {
    "lightly_core/testing/__init__.py": "reference/testing",
    "lightly_core/parts/__init__.py": "reference/parts/index",
    "lightly_core/errors.py": "reference/functions",
}
#: Sections of this page are pages of the site.
_METHOD_SETTINGS = "docs/method-settings.md"
_METHODS = "docs/methods.md"
_SETTINGS_SENTENCE = "[method-settings.md](method-settings.md) lists the options of each method."
#: Section of the navigation that has the pages about the code.
_REFERENCE = "Reference"
_FRONT = Path(__file__).with_name("front.md")
#: What pages say to those who would edit them.
_GENERATED = re.compile(
    r"^Generated (?:by|from) (?:.+\n)*?.*Do not\s+edit this page\.\n", re.MULTILINE
)
#: A link whose text is the name of a file.
_NAMED_LIKE_A_FILE = re.compile(r"\[[\w/-]+\.md\](?=\((?P<path>[\w./-]+\.md)[#)])")
#: The first cell of a row of the table of methods.
_METHOD_CELL = re.compile(r"^\| `([\w.-]+)` \|", re.MULTILINE)
#: Folder of files that are not pages, such as examples.
_FILES = "files"


class Stage:
    """Writes the sources of the site.

    Args:
        root: The repository.
        target: Folder to write.
    """

    def __init__(self, root: Path, target: Path) -> None:
        self._root = root
        self._target = target
        self._waiting: list[str] = []
        self._known: set[str] = set()
        self._listed: set[str] = set()

    def write(self) -> None:
        """Write all pages, and the files that they link to."""
        shutil.rmtree(self._target, ignore_errors=True)
        contents = sections(self._root)
        for section in contents:
            for entry in section.entries:
                self._want(entry.path)
                self._listed.add(entry.path)
        methods = method_pages(self._root)
        for name, text in methods.items():
            self._save(f"methods/{name}", self._relinked(text, f"docs/methods/{name}.md"))
        reference = reference_pages()
        for name, text in reference.items():
            self._save(name, text)
        self._save("index", self._front(contents, list(reference)))
        while self._waiting:
            self._copy(self._waiting.pop(), methods)

    def _front(self, contents: Iterable[Section], reference: list[str]) -> str:
        text = self._relinked(_FRONT.read_text(encoding="utf-8"), "docs/README.md")
        for section in contents:
            entries = [f"{entry.title} </{page_name(entry.path)}>" for entry in section.entries]
            if section.title == _REFERENCE:
                entries = [*reference[:1], *entries]
            text += _toctree(entries, section.title)
        return text

    def _want(self, path: str) -> None:
        """Note a page that has to be copied."""
        if path not in self._known and path not in _MOVED:
            self._known.add(path)
            self._waiting.append(path)

    def _copy(self, path: str, methods: Iterable[str]) -> None:
        text = without_mermaid((self._root / path).read_text(encoding="utf-8"))
        if path == _METHODS:
            text = text.replace(_SETTINGS_SENTENCE, "The page of a method lists its options.")
            text = _METHOD_CELL.sub(r"| [`\1`](method-settings.md#\1) |", text)
        text = self._with_titles(_GENERATED.sub("", text), path)
        text = self._relinked(text, path)
        if path == _METHODS:
            text += _toctree([f"{name} </methods/{name}>" for name in methods], "")
        if path not in self._listed:
            text = f"---\norphan: true\n---\n\n{text}"
        self._save(page_name(path), text)

    def _with_titles(self, text: str, page: str) -> str:
        """Return a page whose links have titles of pages in the place of names of files."""

        def titled(match: re.Match[str]) -> str:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), match["path"]))
            target = self._root / path
            if not target.is_file():
                return match[0]
            title = next((text for _, text in headings(target.read_text(encoding="utf-8"))), path)
            return f"[{title}]"

        return _NAMED_LIKE_A_FILE.sub(titled, text)

    def _save(self, name: str, text: str) -> None:
        file = self._target / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def _relinked(self, text: str, page: str) -> str:
        """Return a page of the repository with links to pages and files of the site."""
        return change_links(text, lambda target: self._link(target, page))

    def _link(self, target: str, page: str) -> str:
        path, _, anchor = target.partition("#")
        if not path or ":" in path:
            return target
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        here = posixpath.dirname(page_name(page))
        if (self._root / path).is_dir():
            path = f"{path}/README.md"
        if path in _MODULES:
            return posixpath.relpath(f"{_MODULES[path]}.md", here or ".")
        if not path.endswith(".md"):
            return posixpath.relpath(self._file(path), here or ".")
        self._want(path)
        name = page_name(path)
        if path == _METHOD_SETTINGS and anchor:
            name, anchor = f"methods/{anchor}", ""
        address = posixpath.relpath(f"{name}.md", here or ".")
        return f"{address}#{anchor}" if anchor and name != "index" else address

    def _file(self, path: str) -> str:
        """Copy a file that is not a page; return its path in the site."""
        target = self._target / _FILES / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._root / path, target)
        return f"{_FILES}/{path}"


def page_name(path: str) -> str:
    """Return the name of a page in the site from its path in the repository."""
    if path in _MOVED:
        return _MOVED[path]
    name = path.removesuffix(".md").removesuffix("/README").removeprefix("docs/")
    return name if "/" in path else name.lower()


def _toctree(entries: Iterable[str], caption: str) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *entries, "```", ""])
