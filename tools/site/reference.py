"""Writes the pages of the interface, which Sphinx fills from docstrings."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import lightly_core
from lightly_core.parts import __path__ as parts_path

#: Names of the package that are described on the page of the contracts.
_CONTRACTS = "lightly_core.contracts"
_PARTS = "lightly_core.parts"

#: Module, title and introduction of the pages with the names of one module.
_MODULES = {
    "reference/contracts": (
        _CONTRACTS,
        "Contracts",
        "Base classes of what plugins provide, and the data that they get. Methods, model "
        "libraries, transforms, loggers, export formats, data sources and launchers have one each.",
    ),
    "reference/capabilities": (
        "lightly_core.contracts.capabilities",
        "Capabilities",
        "Optional methods of a wrapper. A wrapper has a capability if it has the methods.",
    ),
    "reference/method-options": (
        "lightly_core.config.method",
        "Options of methods",
        "What the option class of a method is made of. It can be imported without torch.",
    ),
    "reference/testing": (
        "lightly_core.testing",
        "Checks of plugins",
        "Checks that authors run on their plugin, as tests or by `lightly plugin check`.",
    ),
}

_INDEX = """# API reference

Everything here can be used from code outside of this repository. Names that are not listed may
change without notice.

| page | content |
|---|---|
"""

_FUNCTIONS = "reference/functions"
_FUNCTIONS_TITLE = "Functions and results"


def reference_pages() -> Mapping[str, str]:
    """Return the pages by name, the one that lists them first."""
    pages = {
        _FUNCTIONS: _page(
            _FUNCTIONS_TITLE,
            "Functions of `import lightly_core`, what they return, the errors that they raise, and "
            "the records that plugins add. Importing the package does not import torch.",
            _described(lightly_core, _functions()),
        )
    }
    for name, (module_name, title, text) in _MODULES.items():
        module = importlib.import_module(module_name)
        pages[name] = _page(title, text, _described(module, _public(module)))
    parts = {f"reference/parts/{name}": _part(name) for name in _part_names()}
    listed = [_INDEX.rstrip("\n")]
    listed.append(_row(_FUNCTIONS, _FUNCTIONS_TITLE, pages[_FUNCTIONS]))
    listed += [_row(name, title, pages[name]) for name, (_, title, _) in _MODULES.items()]
    text = "Building blocks for methods. They depend on torch alone, and on numpy for masks."
    listed.append(f"| [Parts](parts/index.md) | {text} |")
    index = "\n".join(listed) + "\n" + _toctree([*pages, "reference/parts/index"])
    parts_index = f"# Parts\n\n{text}\n" + _toctree(parts)
    return {"reference/index": index, **pages, "reference/parts/index": parts_index, **parts}


def _row(name: str, title: str, page: str) -> str:
    text = page.split("\n\n")[1]
    return f"| [{title}]({Path(name).name}.md) | {text} |"


def _functions() -> Iterator[str]:
    """Yield the names of the package, without those of the contracts."""
    contracts = set(importlib.import_module(_CONTRACTS).__all__)
    yield from (name for name in _public(lightly_core) if name not in contracts)


def _public(module: ModuleType) -> list[str]:
    """Return the public names of a module, functions first, then classes, then errors."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    kept = [name for name in names if not name.startswith("__")]
    return sorted(kept, key=lambda name: (_order(getattr(module, name)), name))


def _order(value: object) -> int:
    if not inspect.isclass(value):
        return 0
    return 2 if issubclass(value, BaseException) else 1


def _described(module: ModuleType, names: Iterable[str]) -> str:
    found = ((f"{module.__name__}.{name}", getattr(module, name)) for name in names)
    return "\n\n".join(_directive(name, value) for name, value in found)


def _directive(name: str, value: object) -> str:
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        return f".. {kind}:: {name}\n   :members:\n   :show-inheritance:"
    return f".. {'autofunction' if callable(value) else 'autodata'}:: {name}"


def _page(title: str, text: str, directives: str) -> str:
    return f"# {title}\n\n{text}\n\n```{{eval-rst}}\n{directives}\n```\n"


def _part_names() -> list[str]:
    files = (file for folder in parts_path for file in Path(folder).glob("*.py"))
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def _part(name: str) -> str:
    directive = f".. automodule:: {_PARTS}.{name}\n   :members:\n   :show-inheritance:"
    return f"# {name}\n\n```{{eval-rst}}\n{directive}\n```\n"


def _toctree(names: Iterable[str]) -> str:
    lines = [f"/{name}" for name in names]
    return "\n".join(["", "```{toctree}", ":hidden:", "", *lines, "```", ""])
