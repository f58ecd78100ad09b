"""Try all faults and print a table of the results."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from attrs import evolve

from tools.faults.contention import contention
from tools.faults.damage import damages
from tools.faults.kills import every_method, kills
from tools.faults.limits import limits
from tools.faults.runs import Row, make_images
from tools.faults.soak import soak

_HEADS = ("fault", "how tried", "times", "result", "expected", "note")


def main() -> int:
    """Try the faults, print the table, and return 1 if any case failed."""
    arguments = _parser().parse_args()
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(prefix="faults-", dir=arguments.folder))
    images = make_images(work / "images")
    spare = 60 * arguments.minutes
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "limits": lambda folder: limits(folder, images),
        "damage": lambda folder: damages(folder, images),
        "contention": lambda folder: contention(folder, images, spare / 6),
        "soak": lambda folder: soak(folder, images, arguments.epochs),
        "every_method": lambda folder: every_method(folder, images),
        "kills": lambda folder: kills(folder, images, max(60, begun + spare - time.monotonic())),
    }
    begun = time.monotonic()
    rows: list[Row] = []
    for name, part in parts.items():
        if arguments.only and name not in arguments.only:
            continue
        found = [evolve(row, note=row.note.replace(f"{work}/", "")) for row in part(work / name)]
        for row in found:
            print(" | ".join(_cells(row)), flush=True)
        rows += found
    shutil.rmtree(work, ignore_errors=True)
    failed = sum(row.failed for row in rows)
    total = sum(row.tries for row in rows)
    print(f"\n{total} tries, {failed} failed, {time.monotonic() - begun:.0f} s")
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(rows), encoding="utf-8")
    return int(failed > 0)


def markdown(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|" + "---|" * len(_HEADS)]
    lines += [
        "| " + " | ".join(cell.replace("|", "/") for cell in _cells(row)) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    result = "not tried" if not row.tries else "failed" if row.failed else "as expected"
    if row.failed and row.tries > 1:
        result = f"{row.failed} failed"
    cells = [row.fault, row.how, str(row.tries), result, row.expected, row.note]
    return [" ".join(cell.split()) for cell in cells]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="approximate duration")
    parser.add_argument("--epochs", type=int, default=2000, help="epochs of the long run")
    names = "limits, damage, contention, soak, every_method, kills"
    parser.add_argument("--only", nargs="*", help=f"parts to run: {names}; all by default")
    parser.add_argument("--markdown", type=Path, help="file to which the table is written")
    parser.add_argument("--folder", type=Path, help="working folder; a temporary folder by default")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
