"""Measure all comparisons and write or check the page."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from lightly_core.testing.parity import Differences
from parity import families, processes
from parity.page import number, page, without_numbers
from parity.records import Comparison, Difference

PAGE = Path(__file__).parents[1] / "docs" / "parity.md"


def comparisons() -> list[Comparison]:
    """Return the comparisons of all families."""
    names = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
    modules = [importlib.import_module(f"{families.__name__}.{name}") for name in names]
    return [comparison for module in modules for comparison in module.COMPARISONS]


def measure(chosen: Sequence[Comparison]) -> list[Difference]:
    """Measure the comparisons and print a line for each."""
    found = []
    for comparison in chosen:
        start = time.perf_counter()
        difference = comparison.measure()
        seconds = time.perf_counter() - start
        found.append(difference)
        numbers = f"{number(difference.value):>8} {number(difference.gradient):>8}"
        verdict = "  TOO LARGE" if difference.exceeds(comparison.tolerance) else ""
        text = f"{comparison.method:16} {comparison.what:64}"
        print(f"{text} {numbers} {seconds:6.2f} s{verdict}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(prog="parity", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check, write nothing")
    parser.add_argument(
        "--only", nargs="+", metavar="METHOD", help="only these methods, without page"
    )
    options = parser.parse_args(arguments)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    # Warnings about how Lightly copies tensors and normalises weights.
    warnings.filterwarnings("ignore", module="lightly.loss")
    warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated")
    everything = comparisons()
    chosen = [c for c in everything if not options.only or c.method in options.only]
    differences = measure(chosen)
    worse = [c for c, d in zip(chosen, differences, strict=True) if d.exceeds(c.tolerance)]
    for comparison in worse:
        print(f"above its tolerance: {comparison.method}, {comparison.what}", file=sys.stderr)
    cases = processes.cases(options.only or ())
    of_processes = processes.measure(cases)
    unequal = report(cases, of_processes)
    if not options.only:
        text = page(everything, differences, cases, of_processes)
        if not options.check:
            PAGE.write_text(text, encoding="utf-8")
        elif without_numbers(text) != without_numbers(PAGE.read_text(encoding="utf-8")):
            print("docs/parity.md is out of date; run `nox -s parity`", file=sys.stderr)
            return 1
    return 1 if worse or unequal else 0


def report(cases: Sequence[processes.Case], found: Sequence[Differences]) -> list[str]:
    """Print a line for each training in several processes; return those that differ."""
    unequal = []
    for case, differences in zip(cases, found, strict=True):
        verdict = "" if max(differences) <= processes.TOLERANCE else "  TOO LARGE"
        numbers = " ".join(f"{number(value):>8}" for value in differences)
        print(f"{case.method:16} {case.what:64} {numbers}{verdict}", flush=True)
        unequal += [case.name] if verdict else []
    return unequal


if __name__ == "__main__":
    sys.exit(main())
