"""Tables of the results of mutants."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read(file: Path) -> list[dict[str, Any]]:
    """Read the stored results of a run, one per line."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def table(results: Iterable[dict[str, Any]]) -> str:
    """Return the fraction of caught mutants by room as a Markdown table."""
    rooms: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        rooms[result["place"]["room"]].append(result["outcome"] == "caught")
    rows = [(room, len(found), sum(found)) for room, found in sorted(rooms.items())]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    lines = ["| room | mutants | caught | % |", "|---|---|---|---|"]
    lines += [f"| {room} | {n} | {k} | {100 * k / max(n, 1):.0f} |" for room, n, k in rows]
    return "\n".join(lines)


def survivors(results: Iterable[dict[str, Any]]) -> str:
    """Return the mutants that no test catches, one per line."""
    lines = []
    for result in results:
        place = result["place"]
        if result["outcome"] != "caught":
            where = f"{place['file']}:{place['line']} {place['function']}"
            what = f"{place['operator']} in {place['text']!r}"
            lines.append(f"{where}: {what} ({result['outcome']}, {result['num_tests']} tests)")
    return "\n".join(lines)
