"""Lets long names in tables break after their dots, so that the other columns have room."""

from __future__ import annotations

import re
from typing import Any

#: Names that are shorter fit into a column.
_LONGEST = 24
_CELL = re.compile(r"<td.*?</td>", re.DOTALL)
_NAME = re.compile(r'(?<=<span class="pre">)[\w.]+(?=</span>)')


def breakable(html: str) -> str:
    """Return a page's HTML with places to break in the long names of its tables.

    A copied name stays the same, since the element is no character.
    """
    return _CELL.sub(lambda cell: _NAME.sub(_broken, cell[0]), html)


def break_names(
    app: object,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: object,
) -> None:
    """Change the body of a page, as a handler of Sphinx's event `html-page-context`."""
    if "body" in context:
        context["body"] = breakable(context["body"])


def _broken(name: re.Match[str]) -> str:
    return name[0].replace(".", ".<wbr>") if len(name[0]) > _LONGEST else name[0]
