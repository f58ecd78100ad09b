"""No function is there for its tests alone."""

import ast
import re
from pathlib import Path

from syntax import nodes_of, tree_of

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("lightly_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
USERS = [*SOURCES, *ROOT.glob("examples/*.py"), ROOT / "noxfile.py"]


def names_in(nodes):
    """Every name that is read, and the names in strings such as "package.module:function"."""
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition(":")[2]
            if "import" in node.value:  # code for another process
                yield from re.findall(r"\bimport (\w+)", node.value)


def functions(tree):
    """The functions of a module; those with a decorator are called by what decorates them."""
    for node in tree.body:
        plain = isinstance(node, ast.FunctionDef) and not node.decorator_list
        if plain and not node.name.startswith("__"):
            yield node.name


def unused(defined, users):
    used = {name for nodes in users for name in names_in(nodes)}
    return [name for tree in defined for name in functions(tree) if name not in used]


def test_every_function_is_used_outside_of_tests():
    sources = [tree_of(file) for file in SOURCES]
    assert sum(len(list(functions(tree))) for tree in sources) > 1000
    assert unused(sources, map(nodes_of, USERS)) == []


def test_an_unused_function_is_found():
    module = ast.parse(
        "def called(): pass\n"
        "def named_by_a_plugin(): pass\n"
        "def left_over(): left = 'not left_over'\n"
        "@hook\n"
        "def hooked(): pass\n"
    )
    user = ast.parse("called(target='package.module:named_by_a_plugin')")
    assert unused([module], map(ast.walk, [module, user])) == ["left_over"]
