"""What the docstrings of a method say, read from its source without importing it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from attrs import define

#: Sections of docstrings, which describe code and not the method.
_CODE_SECTION = re.compile(r"\n(?:Args|Attributes|Returns|Raises|Yields):\n")
_DIFFERENCES = re.compile(r"(?:^|\n\n)(?=Differs? from|Differences)")
_ADDRESS = re.compile(r"(?<!<)https?://[^\s)>]*[^\s)>.,:]")
_OWN = ("lightly_",)
#: Base classes of all methods say nothing about a single one.
_GENERAL = ("Method", "TeacherMethod", "SelfDistillation", "Distillation")


@define(frozen=True)
class Explained:
    """A method in the words of its author, as Markdown.

    Attributes:
        about: What it does and when to use it.
        differences: How it differs from the paper; may be empty.
        formulas: Description with a formula by name of the function that computes it.
    """

    about: str
    differences: str
    formulas: Mapping[str, str]


def explain(target: str) -> Explained:
    """Read the docstrings of a method.

    Args:
        target: ``package.module:Class`` of a `MethodRecord`.
    """
    module, _, name = target.partition(":")
    text = _description(_definitions(module)[name])
    about, *rest = _DIFFERENCES.split(text, maxsplit=1)
    formulas = dict[str, str]()
    for function, docstring in _functions(module, name):
        if "::" in docstring:
            formulas.setdefault(function, markdown(_first_part(docstring)))
    return Explained(markdown(about), markdown(rest[0] if rest else ""), formulas)


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown: literal blocks as code, addresses as links."""
    lines, block = list[str](), False
    for line in docstring.strip().splitlines():
        if block and line.strip() and not line.startswith(" "):
            _close(lines)
            block = False
        if not block and line.endswith("::"):
            kept = "" if line == "::" else _linked(line[:-1])
            lines += [kept, "", "```text"]
            block = True
        elif block:
            lines.append(line[4:] if line.startswith("    ") else line)
        else:
            lines.append(_linked(line))
    if block:
        _close(lines)
    return "\n".join(lines).strip()


def _linked(line: str) -> str:
    return _ADDRESS.sub(r"<\g<0>>", line)


def _close(lines: list[str]) -> None:
    """End a block of code, without empty lines at its start and end."""
    start = max(index for index, line in enumerate(lines) if line == "```text") + 1
    while not lines[start]:
        del lines[start]
    while not lines[-1]:
        lines.pop()
    lines += ["```", ""]


def _functions(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of each function that a class uses, its bases' included."""
    definitions, imports = _definitions(module), _imports(module)
    waiting, seen = [name], set[str]()
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        node = definitions.get(current)
        if node is not None:
            if isinstance(node, ast.FunctionDef):
                yield current, ast.get_docstring(node) or ""
            else:
                yield from _methods_of(node)
            waiting += _names(node)
        elif current in imports:
            is_base = _is_base(definitions.get(name), current)
            yield from _imported(imports[current], current, is_base)


def _imported(home: str, name: str, is_base: bool) -> Iterator[tuple[str, str]]:
    """Yield what an imported name says: a function itself, and all functions of a base class."""
    node = _definitions(home).get(name)
    if isinstance(node, ast.FunctionDef):
        yield name, ast.get_docstring(node) or ""
    elif node is not None and is_base and name not in _GENERAL:
        yield from _functions(home, name)


def _is_base(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(inner, ast.Name) and inner.id == name
        for base in node.bases
        for inner in ast.walk(base)
    )


def _methods_of(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef):
            yield f"{node.name}.{inner.name}", ast.get_docstring(inner) or ""


def _names(node: ast.AST) -> list[str]:
    return [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def _description(node: ast.ClassDef | ast.FunctionDef) -> str:
    return _first_part(ast.get_docstring(node) or "")


def _first_part(docstring: str) -> str:
    """Return a docstring without the sections about arguments and results."""
    return _CODE_SECTION.split(f"\n{inspect.cleandoc(docstring)}\n", maxsplit=1)[0].strip()


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ast.Module(body=[], type_ignores=[])
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@cache
def _definitions(module: str) -> Mapping[str, ast.ClassDef | ast.FunctionDef]:
    nodes = _tree(module).body
    return {node.name: node for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


@cache
def _imports(module: str) -> Mapping[str, str]:
    """Return the modules of our own names that a module imports, by name."""
    return {
        alias.name: node.module
        for node in _tree(module).body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_OWN)
        for alias in node.names
    }
