"""Runs the programs of a row in turn, and returns the values of each."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from benchmarks.earlier import ROOT, packages
from benchmarks.row import Program, Row
from lightly_core.config.auto.machine import cpu_has_native_bf16

#: The commit from which goals such as "a third of today" are counted.
BEFORE = "25c638c"


@frozen
class Places:
    """Where the programs of a measurement run.

    Attributes:
        photos: Folder that `write_photos` has filled.
        peer_python: Interpreter of the environment of the peers; None: measure ours alone.
        before: The files of the commit `BEFORE`; None: leave out what is compared with it.
    """

    photos: Path
    peer_python: str | None = None
    before: Path | None = None

    def can_run(self, program: Program) -> bool:
        """Return whether the code of a program is at hand."""
        missing = {"peer": self.peer_python is None, "before": self.before is None}
        return not missing.get(program.code, False)


@frozen
class Result:
    """The values of a row, one for each repetition.

    Attributes:
        row: What was measured.
        ours: Values of our program.
        peer: Values of the peer's program; empty: there is none, or it failed.
        error: Last lines of a program that failed; None: none has failed.
    """

    row: Row
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    error: str | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast (or as small) ours is: the peer's median by ours."""
        if not self.ours or not self.peer:
            return None
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def reached(self) -> bool | None:
        """Whether the goal of the row is reached; None: it could not be measured."""
        if not self.ours:
            return None
        if self.row.most is not None:
            return statistics.median(self.ours) <= self.row.most
        return None if self.ratio is None else self.ratio >= self.row.least_ratio


class Measurements:
    """Measures rows. A program runs once in each repetition, for all rows that have a value of it.

    Args:
        places: Where the programs run.
        repeats: Values of each program.
    """

    def __init__(self, places: Places, repeats: int) -> None:
        self._places = places
        self._repeats = repeats
        self._values: dict[tuple[int, Program], Mapping[str, float]] = {}

    def measure(self, row: Row) -> Result:
        """Run the programs of a row alternately."""
        ours: list[float] = []
        peer: list[float] = []
        try:
            for repeat in range(self._repeats):
                ours.append(self._value(repeat, row.ours))
                if row.peer is not None and self._places.can_run(row.peer):
                    peer.append(self._value(repeat, row.peer))
        except subprocess.CalledProcessError as error:
            tail = str(error.stderr or error.output or error).strip().splitlines()[-3:]
            return Result(row, tuple(ours), tuple(peer), " / ".join(tail))
        return Result(row, tuple(ours), tuple(peer))

    def _value(self, repeat: int, program: Program) -> float:
        key = repeat, evolve(program, value="")
        if key not in self._values:
            self._values[key] = run(program, self._places)
        return float(self._values[key][program.value])


def precision() -> str:
    """Return the number format in which all programs train on this CPU."""
    return "bf16-mixed" if cpu_has_native_bf16() else "32-true"


def run(program: Program, places: Places) -> Mapping[str, float]:
    """Run a program in a process of its own and return its values.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    words = [word.replace("@", f"{places.photos}{os.sep}") for word in program.words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BENCHMARK_PRECISION": precision()}
    python = sys.executable
    if program.code == "peer":  # that interpreter sees this package and nothing else of ours
        assert places.peer_python is not None
        python = places.peer_python
        environment["PYTHONPATH"] = str(ROOT)
    elif program.code == "before":
        assert places.before is not None
        environment["PYTHONPATH"] = os.pathsep.join(map(str, packages(places.before)))
    before = _children_seconds()
    done = subprocess.run(
        [python, *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT if program.code != "before" else places.before,
        env=environment,
    )
    if program.whole_process:
        return {program.value: _children_seconds() - before}
    values: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_names(rows: Sequence[Row], chosen: Sequence[str]) -> list[Row]:
    """Return the rows whose names contain one of the words.

    Raises:
        SystemExit: A word is in no name.
    """
    for word in chosen:
        if not any(word in row.name for row in rows):
            names = "\n  ".join(row.name for row in rows)
            raise SystemExit(f"--only {word!r} is in the name of no row; rows:\n  {names}")
    return [row for row in rows if not chosen or any(word in row.name for word in chosen)]
