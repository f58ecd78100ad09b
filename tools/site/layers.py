"""Shows a flowchart of Mermaid as rows of boxes, so that the site needs no library for it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

_BLOCK = re.compile(r"```mermaid\n(.*?)```\n", re.DOTALL)
_NODE = re.compile(r'(\w+)\["([^"]*)"\]')
_ARROW = re.compile(r"\s+(?:-->|-\. \"[^\"]*\" \.->)\s+")
_NOTE = "A box imports boxes of the rows below its own, and none above."


def without_mermaid(text: str) -> str:
    """Return a page whose flowcharts are HTML."""
    return _BLOCK.sub(lambda match: _shown(match[1]), text)


def rows_of(chart: str) -> list[list[str]]:
    """Return the labels of the boxes by row.

    The row of a box is the length of the longest way to it from a box without incoming arrows. The
    boxes of a subgraph, which import some of the others, are above all others.
    """
    inside, rest = _without_subgraph(chart)
    labels = dict(_NODE.findall(rest))
    parents: dict[str, set[str]] = {name: set() for name in labels}
    for line in _NODE.sub(r"\1", rest).splitlines():
        ends = _ARROW.split(line.strip())
        if len(ends) == 2 and ends[0] in parents:
            for child in ends[1].split(" & "):
                if child in parents:
                    parents[child].add(ends[0])
    depths: dict[str, int] = {}
    for name in parents:
        _depth(name, parents, depths)
    rows = [[labels[name] for name in parents if depths[name] == row] for row in _levels(depths)]
    return [list(inside.values()), *rows] if inside else rows


def _without_subgraph(chart: str) -> tuple[Mapping[str, str], str]:
    """Return the boxes of the subgraph, and the chart without it."""
    match = re.search(r"subgraph\b[^\n]*\n(.*?)\n\s*end\n", chart, re.DOTALL)
    if match is None:
        return {}, chart
    return dict(_NODE.findall(match[1])), chart[: match.start()] + chart[match.end() :]


def _levels(depths: Mapping[str, int]) -> Sequence[int]:
    return range(max(depths.values()) + 1)


def _depth(name: str, parents: Mapping[str, set[str]], depths: dict[str, int]) -> int:
    if name not in depths:
        depths[name] = 1 + max((_depth(one, parents, depths) for one in parents[name]), default=-1)
    return depths[name]


def _shown(chart: str) -> str:
    rows = "".join(f'<div class="row">{"".join(map(_box, row))}</div>' for row in rows_of(chart))
    return f'<div class="layers">{rows}</div>\n\n{_NOTE}\n'


def _box(label: str) -> str:
    name, _, purpose = label.partition(": ")
    return f"<div><b>{html.escape(name)}</b>{html.escape(purpose)}</div>"
