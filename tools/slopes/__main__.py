"""Measures all parts and prints the tables; see the package."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from attrs import asdict

from tools import marked_tables
from tools.slopes import page
from tools.slopes.measure import ROOT, Slope, measured
from tools.slopes.parts import IMAGES, PARTS


def main() -> None:
    """Measure, print, and write the page with ``--write``."""
    parser = argparse.ArgumentParser(prog="python -m tools.slopes", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables to docs/scale.md")
    parser.add_argument("--repeats", type=int, default=3, help="the smallest values of so many")
    parser.add_argument("--one", type=int, nargs=2, metavar=("PART", "SIZE"), help="measure once")
    arguments = parser.parse_args()
    if arguments.one is not None:
        number, size = arguments.one
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(PARTS[number].measure(size, Path(folder)))))
        return
    slopes = []
    for number, part in enumerate(PARTS):
        costs = tuple(measured(number, size, arguments.repeats) for size in part.sizes)
        slopes.append(Slope(part, costs))
        print(
            part.name, *(f"{size:,}: {cost}" for size, cost in zip(part.sizes, costs, strict=True))
        )
    first = len(IMAGES)
    tables = {
        "images": page.table(slopes[:first], page.IMAGES),
        "weights": page.table(slopes[first:], page.WEIGHTS),
    }
    print(*tables.values(), sep="\n")
    if arguments.write:
        marked_tables.write(ROOT / "docs" / "scale.md", tables)


if __name__ == "__main__":
    main()
