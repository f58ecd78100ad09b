"""Writes the tables of docs/scale.md."""

from __future__ import annotations

from collections.abc import Sequence

from tools.slopes.measure import Slope

#: Numbers of images and of weights that the tables compute costs for.
IMAGES = {"10 M": 10**7, "100 M": 10**8, "1 B": 10**9}
WEIGHTS = {"100 M": 10**8, "1 B": 10**9, "7 B": 7 * 10**9}
#: Names of the values, as they are in a cell.
_VALUES = {"seconds": "", "memory": " memory", "disk": " disk"}
_SECONDS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def amount(value: float, units: Sequence[tuple[float, str]]) -> str:
    """Return a value in the largest unit of which there is at least one, with two digits.

    Args:
        value: In seconds or bytes, at least 0.
        units: Sizes and names of the units, the largest first.
    """
    size, name = next(((size, name) for size, name in units if value >= size), units[-1])
    number = value / size
    return f"{number:,.0f} {name}" if number >= 10 else f"{number:.1f} {name}"


def table(slopes: Sequence[Slope], numbers: dict[str, int]) -> str:
    """Return a table: what a million more cost, and what the numbers would.

    Args:
        slopes: Rows of the table, all of one unit.
        numbers: Columns by their title.
    """
    unit = slopes[0].part.unit
    titles = ("what", f"measured up to, {unit}", f"a million {unit} more", *numbers)
    lines = [titles, ("---",) * len(titles)]
    for slope in slopes:
        costs = [_costs(slope, number) for number in (10**6, *numbers.values())]
        lines.append((slope.part.name, f"{slope.part.sizes[-1]:,}", *costs))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _costs(slope: Slope, number: int) -> str:
    found = []
    for name, word in _VALUES.items():
        # What is less than a byte an image is not more than the spread of the measurement.
        value = slope.of(name)
        if value * 10**6 >= (0.001 if name == "seconds" else 2**20):
            units = _SECONDS if name == "seconds" else _BYTES
            found.append(amount(value * number, units) + word)
    return ", ".join(found) or "nothing measurable"
