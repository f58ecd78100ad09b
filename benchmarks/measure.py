"""Runs the programs of a row in turn, and returns the values of each."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.rows import Program, Row

ROOT = Path(__file__).parents[1]


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


def measure(row: Row, *, photos: Path, peer_python: str | None, repeats: int) -> Result:
    """Run the programs of a row alternately.

    Args:
        row: What to measure.
        photos: Folder that `write_photos` has filled.
        peer_python: Interpreter of the environment of the peers; None: measure ours alone.
        repeats: Values of each program.
    """
    ours: list[float] = []
    peer: list[float] = []
    try:
        for _ in range(repeats):
            ours.append(run(row.ours, sys.executable, photos))
            if row.peer is not None and (python := _interpreter(row.peer, peer_python)):
                peer.append(run(row.peer, python, photos))
    except subprocess.CalledProcessError as error:
        tail = str(error.stderr or error.output or error).strip().splitlines()[-3:]
        return Result(row, tuple(ours), tuple(peer), " / ".join(tail))
    return Result(row, tuple(ours), tuple(peer))


def run(program: Program, python: str, photos: Path) -> float:
    """Run a program in a process of its own and return its value.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    words = [word.replace("@", f"{photos}{os.sep}") for word in program.words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if program.foreign:  # the peers' interpreter sees this package and nothing else of ours
        environment["PYTHONPATH"] = str(ROOT)
    before = _children_seconds()
    done = subprocess.run(
        [python, *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    if program.whole_process:
        return _children_seconds() - before
    return float(json.loads(done.stdout.strip().splitlines()[-1])["value"])


def _interpreter(program: Program, peer_python: str | None) -> str | None:
    return peer_python if program.foreign else sys.executable


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
