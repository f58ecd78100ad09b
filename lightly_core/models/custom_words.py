"""Descriptions of a module's outputs, for the errors of `lightly_core.models.custom`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightly_core.models.layouts import BATCH, Shape, Size, find_layout
from lightly_core.models.outputs import OutputShapes

_MOST_CANDIDATES = 6


def choices(seen: OutputShapes) -> str:
    """List parts whose output can be used as features, the last in the network first."""
    giving = {
        path: shapes
        for path, known in seen.shapes[0].items()
        if path and "" in known
        for shapes in [tuple(seen.at_sizes(path, ""))]
        if find_layout(shapes, seen.sizes) is not None
    }
    # Of parts with the same shapes the last to end is kept, which is the outermost. Parts deep
    # inside of others, such as the layers of a block, are not listed.
    by_shape = {
        shapes: path
        for path, shapes in giving.items()
        if sum(path.startswith(f"{outer}.") for outer in giving) <= 1
    }
    order = list(giving)
    best = sorted(by_shape.items(), key=lambda item: order.index(item[1]), reverse=True)
    if not best:
        return ""
    lines = [f'  features="{path}"  {_text(shapes[0])}' for shapes, path in best]
    head = f"these parts give features for images of {pixels(seen.sizes[0])}:"
    return "\n  ".join(["", head, *lines[:_MOST_CANDIDATES]])


def shown(seen: OutputShapes, path: str, keys: Sequence[str]) -> str:
    """Return the shapes of some entries of a part's output."""
    known = seen.shapes[0][path]
    return ", ".join(f"{key!r} {_text(known[key])}" if key else _text(known[key]) for key in keys)


def _text(shape: Shape) -> str:
    return str(shape) if shape[:1] != (BATCH,) else f"({', '.join(['B', *map(str, shape[1:])])})"


def named(module: nn.Module, path: str) -> str:
    """Return the name of a part of a module, or of the module itself."""
    return f"{path!r} of {type(module).__name__}" if path else type(module).__name__


def pixels(size: Size) -> str:
    """Return height and width."""
    return f"{size[0]} x {size[1]} pixels"
