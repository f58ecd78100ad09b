"""Places in the code where one small change creates a mutant, and a sample of them.

The operators are those of cosmic-ray, and one that removes statements.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parso
from attrs import frozen
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator

_REPLACED_COMPARISONS = (
    *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt"),
    *("Is_IsNot", "IsNot_Is"),
)
_REPLACED_BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul")
_OPERATORS = (
    *(f"ReplaceComparisonOperator_{name}" for name in _REPLACED_COMPARISONS),
    *(f"ReplaceBinaryOperator_{name}" for name in _REPLACED_BINARY),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "NumberReplacer"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("AddNot", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
)
Node = Any  # parso.tree.NodeOrLeaf, whose annotations lack what nodes have
Span = tuple[tuple[int, int], tuple[int, int]]

_NODES_OF_ANNOTATIONS = ("annassign", "tfpdef", "annotation")


class DropStatement(Operator):  # type: ignore[misc]  # cosmic-ray is untyped
    """Replace a call, an assignment to an attribute or item, or a raise by ``pass``.

    Assignments to plain names are kept, as every test finds the NameError without them.
    """

    def mutation_positions(self, node: Node) -> Iterator[Span]:
        """Yield the span of the statement if it can be replaced."""
        if node.type == "simple_stmt" and _can_be_dropped(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Node, index: int) -> Node:
        """Replace the statement by ``pass``."""
        statement = node.children[0]
        prefix = statement.get_first_leaf().prefix
        node.children[0] = parso.python.tree.Keyword("pass", statement.start_pos, prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return an example of the change."""
        return (Example("def f():\n    g()", "def f():\n    pass"),)


def _can_be_dropped(statement: Node) -> bool:
    if _function_of(statement) == "":
        return False
    if statement.type == "expr_stmt":
        target = statement.children[0]
        augmented = statement.children[1].type == "operator" and statement.children[1].value != "="
        return augmented or target.type in ("atom_expr", "power")
    return statement.type in ("atom_expr", "power", "raise_stmt", "await_expr")


def _function_of(node: Node) -> str:
    """Return the qualified name of the function that contains a node, or ""."""
    names: list[str] = []
    scope = node.search_ancestor("funcdef", "classdef")
    inside = scope is not None and scope.type == "funcdef"
    while scope is not None:
        names.append(scope.name.value)
        inside = inside or scope.type == "funcdef"
        scope = scope.search_ancestor("funcdef", "classdef")
    return ".".join(reversed(names)) if inside else ""


@frozen
class Place:
    """A place in the code and its change."""

    room: str
    file: str  # relative to the root of the tree, with "/"
    line: int
    function: str  # "" outside of functions
    operator: str
    occurrence: int  # of the operator in the file
    text: str  # the code before the change
    key: str  # orders the sample; depends on the function's code only

    def mutate(self, source: str) -> str:
        """Return the changed source of the file."""
        changed = mutate_code(source, _operator(self.operator), self.occurrence)
        if changed is None or changed == source:
            raise ValueError(f"nothing was changed at {self}")
        return str(changed)


def _operator(name: str) -> Operator:
    return DropStatement() if name == "DropStatement" else get_operator(f"core/{name}")()


def room_of(file: str) -> str:
    """Return the room of a file: a folder of the core, ``core`` for its top level, or a plugin."""
    parts = file.split("/")
    if parts[0] == "plugins":
        return f"plugins/{parts[1]}"
    return parts[1] if len(parts) > 2 else "core"


def product_files(root: Path) -> list[str]:
    """Return the source files of the core and the plugins, relative to the root of the tree."""
    found = [*root.glob("lightly_core/**/*.py"), *root.glob("plugins/*/src/**/*.py")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def places_of(root: Path, file: str, seed: int) -> Iterator[Place]:
    """Yield the places of a file, with one change for each."""
    source = (root / file).read_text(encoding="utf-8")
    tree = parso.parse(source)  # type: ignore[no-untyped-call]
    nodes = list(_walk(tree))
    seen: dict[str, int] = defaultdict(int)
    best: dict[tuple[int, int], Place] = {}
    for name in (*_OPERATORS, "DropStatement"):
        operator, occurrence = _operator(name), -1
        for node in nodes:
            for start, end in operator.mutation_positions(node):
                occurrence += 1
                if _has_no_effect(node):
                    continue
                function = _function_of(node)
                text = " ".join(node.get_code(include_prefix=False).split())[:120]
                identity = f"{seed}|{file}|{function}|{name}|{text}|{end[1] - start[1]}"
                seen[identity] += 1
                key = hashlib.sha256(f"{identity}|{seen[identity]}".encode()).hexdigest()
                place = Place(room_of(file), file, start[0], function, name, occurrence, text, key)
                if start not in best or key < best[start].key:
                    best[start] = place
    yield from best.values()


def _walk(node: Node) -> Iterator[Node]:
    """Yield all nodes in the order of cosmic-ray."""
    yield node
    for child in getattr(node, "children", ()):
        yield from _walk(child)


def _has_no_effect(node: Node) -> bool:
    """Return whether a change of this node cannot have an effect in a run."""
    if _is_fixed(node):
        return True
    if node.type == "operator" and node.parent.type in ("parameters", "param"):
        return True  # the star before keyword-only parameters is not a multiplication
    while node.parent is not None:
        parent = node.parent
        if parent.type in _NODES_OF_ANNOTATIONS or parent.type == "assert_stmt":
            return True
        if _is_fixed(parent):
            return True
        if parent.type == "funcdef" and parent.annotation is node:
            return True
        node = parent
    return False


def _is_fixed(node: Node) -> bool:
    """Return whether this is an ``if`` whose condition is the same in all runs of the tests."""
    if node.type != "if_stmt":
        return False
    condition = node.children[1].get_code()
    return "TYPE_CHECKING" in condition or "sys.version_info" in condition


def sample(root: Path, count: int, seed: int, least: int = 6) -> list[Place]:
    """Return a sample of all places, which depends on the code and the seed only.

    A change of one function does not change the sampled places of others.

    Args:
        root: Root of the tree.
        count: Number of places, distributed among the rooms in proportion to their places.
        seed: Seed of the sample.
        least: Minimum number of places of a room.
    """
    rooms: dict[str, list[Place]] = defaultdict(list)
    for file in product_files(root):
        for place in places_of(root, file, seed):
            rooms[place.room].append(place)
    total = sum(len(places) for places in rooms.values())
    taken: list[Place] = []
    for _, places in sorted(rooms.items()):
        size = max(least, round(count * len(places) / total))
        taken.extend(sorted(places, key=lambda place: place.key)[:size])
    return taken
