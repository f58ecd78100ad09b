"""Measures the cost of reading a method: its files, its lines, and the modules that it imports.

``python -m tools.reading_cost`` prints a table of all installed methods, and the lines of the core,
the plugins and the tests in the current folder. A method's files are those with its class and its
options, and those in the same folder whose names start with the name of its module. Lines of code
do not count docstrings, comments, blank lines and imports.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import define

from lightly_core.plugins.discovery import get_plugins

OURS = "lightly_"


@define(frozen=True)
class Cost:
    """One row of the table.

    Attributes:
        name: Name of the method.
        files: Number of its files.
        lines: All lines of its files.
        config: Lines of code of the options.
        method: Lines of code of its other files.
        step: Lines of code of `training_step`; 0 if the method inherits it.
        opened: Number of other modules of this project that its files import.
    """

    name: str
    files: int
    lines: int
    config: int
    method: int
    step: int
    opened: int


def source_of(module: str) -> Path | None:
    """Return the file of a module, None if there is no such module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def code_lines(nodes: list[ast.stmt]) -> int:
    """Return the number of lines of code of statements."""
    lines: set[int] = set()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.stmt) and not _is_no_code(node):
                lines.update(_own_lines(node))
    return len(lines)


def _is_no_code(node: ast.stmt) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Import | ast.ImportFrom)


def _own_lines(node: ast.stmt) -> Iterator[int]:
    """Yield the lines of a statement, except those of the statements inside it."""
    inner: set[int] = set()
    for field in ("body", "orelse", "finalbody", "handlers"):
        for child in getattr(node, field, []):
            inner.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        if line not in inner:
            yield line


def imports_of(tree: ast.Module) -> set[str]:
    """Return the modules of this project that a file imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(OURS):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith(OURS))
    return found


def own_modules(target: str, config: str) -> list[str]:
    """Return the modules of a method: class, options, and those in its folder named after it."""
    folder, _, stem = target.rpartition(".")
    names = [target, config]
    for name in sorted(imports_of(_tree(target)) | imports_of(_tree(config))):
        package, _, own = name.rpartition(".")
        same_folder = stem == "method" and package == folder
        if name not in names and package == folder and (same_folder or own.startswith(f"{stem}_")):
            names.append(name)
    return names


def _tree(module: str) -> ast.Module:
    file = source_of(module)
    assert file is not None, module
    return ast.parse(file.read_text(encoding="utf-8"))


def cost_of(name: str, target: str, config: str) -> Cost:
    """Measure a method.

    Args:
        name: Name of the method.
        target: Its class, as ``module:Class``.
        config: Its options, as ``module:Class``.
    """
    (method, _, class_name), (options, _, options_class) = (
        target.partition(":"),
        config.partition(":"),
    )
    modules = own_modules(method, options)
    trees = {module: _tree(module) for module in modules}
    opened = {found for tree in trees.values() for found in imports_of(tree)} - set(modules)
    sources = [file for module in modules if (file := source_of(module)) is not None]
    code = sum(code_lines(trees[module].body) for module in modules if module != options)
    return Cost(
        name=name,
        files=len(modules),
        lines=sum(len(file.read_text(encoding="utf-8").splitlines()) for file in sources),
        config=code_lines(_class(trees[options], options_class).body),
        method=code,
        step=_step(_class(trees[method], class_name)),
        opened=len(opened),
    )


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _step(node: ast.ClassDef) -> int:
    steps = [
        part
        for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name == "training_step"
    ]
    return code_lines(steps[0].body) if steps else 0


def lines_below(folder: Path, pattern: str) -> int:
    """Return the number of lines of all Python files that match a pattern."""
    files = [file for file in folder.glob(pattern) if file.suffix == ".py"]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def main() -> None:
    """Print the table as Markdown."""
    print("| method | files | all lines | config | method | step | opened |")
    print("|---|---|---|---|---|---|---|")
    rows = [
        cost_of(record.name, record.target, str(record.config))
        for record in get_plugins().catalog.records("method")
        if record.alias_of is None
    ]
    for row in rows:
        cells = (row.files, row.lines, row.config, row.method, row.step, row.opened)
        print(f"| `{row.name}` | {' | '.join(map(str, cells))} |")
    sums = (
        [getattr(row, field) for row in rows] for field in ("files", "lines", "config", "method")
    )
    print(f"| all {len(rows)} | {' | '.join(str(sum(values)) for values in sums)} | | |")
    here = Path.cwd()
    parts = {
        "core": lines_below(here, "lightly_core/**/*"),
        "plugins": lines_below(here, "plugins/*/src/**/*"),
        "tests": lines_below(here, "tests/**/*") + lines_below(here, "plugins/*/tests/**/*"),
    }
    print("\n" + ", ".join(f"{name} {count:,} lines" for name, count in parts.items()))


if __name__ == "__main__":
    sys.exit(main())
