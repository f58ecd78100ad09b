"""Runs the measurements of a part, and fits a straight line to them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from attrs import frozen

ROOT = Path(__file__).parents[2]


@frozen
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: CPU time of the process, or time by the clock where others take part.
        memory: Bytes of main memory at the peak, less those before.
        disk: Bytes of the files that it leaves.
    """

    seconds: float = 0.0
    memory: float = 0.0
    disk: float = 0.0


#: Does the work of a size once. It may prepare what it needs before it calls `work`.
Measurement = Callable[[int, Path], Cost]


@frozen
class Part:
    """A part of a run whose cost grows with a number.

    Attributes:
        name: What is done.
        unit: What is counted, in the plural.
        sizes: Numbers at which it is measured, increasing.
        measure: Measures it at one size in an empty folder.
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    measure: Measurement


@frozen
class Slope:
    """What one more of a part's unit costs.

    Attributes:
        part: The part.
        costs: What was measured at each of `part.sizes`.
    """

    part: Part
    costs: tuple[Cost, ...]

    def of(self, name: str) -> float:
        """Return the slope of ``seconds``, ``memory`` or ``disk``, at least 0."""
        return slope(self.part.sizes, [getattr(cost, name) for cost in self.costs])


def slope(sizes: tuple[int, ...], values: list[float]) -> float:
    """Return the slope of a straight line through values, by least squares; at least 0."""
    x, y = np.asarray(sizes, float), np.asarray(values, float)
    x, y = x - x.mean(), y - y.mean()
    return max(0.0, float(x @ y / (x @ x)))


def work(function: Callable[[], object], *, by_clock: bool = False) -> Cost:
    """Call a function once, and return its time and its peak of main memory. Linux only."""
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    clock = time.perf_counter if by_clock else time.process_time
    begun = clock()
    kept = function()
    seconds = clock() - begun
    memory = _status("VmHWM") - before
    del kept  # not before the memory was read
    return Cost(seconds, max(0, memory))


def measured(number: int, size: int, repeats: int) -> Cost:
    """Measure a part in new processes; return the smallest of each value.

    Args:
        number: Index of the part in `PARTS`.
        size: Size to measure.
        repeats: Number of processes, one after another.

    Raises:
        RuntimeError: A process failed.
    """
    costs = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "tools.slopes", "--one", str(number), str(size)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        costs.append(Cost(**json.loads(done.stdout.splitlines()[-1])))
    return Cost(*(min(getattr(cost, name) for cost in costs) for name in _VALUES))


_VALUES = ("seconds", "memory", "disk")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)
