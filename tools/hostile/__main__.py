"""``python -m tools.hostile``: test the commands with odd, broken and hostile files."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightly_core.data.decode import decode
from lightly_core.data.library_messages import captured_messages
from lightly_core.data.pixels import UnreadableImage
from tools.hostile import broken, commands, extras, names, pillows, pngs, tiffs
from tools.hostile.alone import Outcome, most_memory, read_alone
from tools.hostile.case import Case

_MAKERS = (pngs, tiffs, pillows, extras, names, broken)
_MOST_MEMORY = 1500  # MiB, for reading without a command


def main() -> int:
    """Create the files, run all tests, print the tables, and return 1 if there are problems."""
    parser = argparse.ArgumentParser(prog="python -m tools.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of contents and damages")
    parser.add_argument("--every", type=int, default=1, help="use only every n-th file")
    parser.add_argument(
        "--alone", action="store_true", help="only read the files, without running commands"
    )
    parser.add_argument("--markdown", type=Path, help="file to which the tables are written too")
    arguments = parser.parse_args()
    started = time.monotonic()
    cases = [
        case
        for number, maker in enumerate(_MAKERS)
        for case in maker.cases(np.random.default_rng([arguments.seed, number]))
    ]
    # Links need the file that they point to, so all of them are used.
    cases = [
        case
        for number, case in enumerate(cases)
        if case.kind == "links" or number % arguments.every == 0
    ]
    with tempfile.TemporaryDirectory() as folder:
        problems, tables = _try_all(cases, Path(folder), alone=arguments.alone)
    text = "\n".join(tables)
    print(text)
    if arguments.markdown is not None:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    for problem in problems:
        print(f"WRONG {problem}")
    print(f"{len(cases)} files, {len(problems)} problems, {time.monotonic() - started:.0f} s")
    return 1 if problems else 0


def _try_all(cases: Sequence[Case], folder: Path, *, alone: bool) -> tuple[list[str], list[str]]:
    """Return the problems and the lines of the tables."""
    root = folder / "images"
    files = commands.deal(cases, os.fsencode(root))
    outcomes = [
        outcome
        for name, case in files.items()
        for outcome in read_alone([case], os.fsencode(root / name.partition("/")[0]))
    ]
    problems = [f"{o.case.kind}: {o.case.name!r}: {o.wrong}" for o in outcomes if o.wrong]
    if most_memory() > _MOST_MEMORY:
        problems.append(f"reading took {most_memory()} MiB, more than {_MOST_MEMORY}")
    lines = _table(outcomes)
    lines += ["", f"Largest memory of the process that read them: {most_memory()} MiB."]
    if alone:
        return problems, lines
    expected = {name: _readable(root / name) for name in commands.counted(files)}
    lines += ["", "| command | seconds | memory | result | problems |"]
    lines += ["|---|---|---|---|---|"]
    for step in commands.run_commands(root, folder / "out", expected):
        problems += [f"lightly {step.name}: {problem}" for problem in step.problems]
        memory = f"{step.memory:,} MiB"
        cells = (f"`lightly {step.name}`", f"{step.seconds:.0f}", memory, step.counts)
        lines.append(f"| {' | '.join(cells)} | {len(step.problems)} |")
    return problems, lines


def _readable(path: Path) -> bool:
    """Return whether a file can be read as an image of three channels."""
    try:
        with captured_messages():
            decode(path, 3)
    except UnreadableImage:
        return False
    return True


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        row = counts.setdefault(outcome.case.kind, Counter())
        row["files"] += 1
        row["wrong" if outcome.wrong else outcome.what] += 1
        row["compared"] += outcome.compared
    columns = ("files", "read", "compared", "listed", "wrong")
    total = sum(counts.values(), Counter())
    lines = ["| kind | files | read | of these compared | listed with a reason | wrong |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind, row in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {kind} | {' | '.join(f'{row[name]:,}' for name in columns)} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
