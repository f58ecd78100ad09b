"""Runs cases, appends their results, and writes the page; see the package."""

from __future__ import annotations

import argparse
import math
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import lightly_core
from lightly_core.advising.evidence import RUNS_FILE, Result, read_evidence, read_records
from lightly_core.benchmarking.results import RowResult
from tools.first_hour import choosing, page, records
from tools.first_hour.cases import CASES, Case
from tools.first_hour.results import LABELS_FILE, ROOT, Tuned

SUITE = ROOT / "examples" / "benchmarks" / "first-hour.toml"
METHODS = ("simclr", "byol", "dino", "vicreg", "barlowtwins", "swav", "lejepa", "mmcr")


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m tools.first_hour", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the archives")
    parser.add_argument("--out", type=Path, default=Path("out/first-hour"), help="folder of runs")
    parser.add_argument("--cases", nargs="*", default=[], choices=CASES, help="cases to run")
    parser.add_argument("--images-seen", type=int, nargs="+", default=[200_000], help="budgets")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--recipes", nargs="+", default=["small", "paper"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows-at-once", type=int, default=1, help="rows at the same time")
    parser.add_argument("--write", action="store_true", help="write the tables of the docs")
    options = parser.parse_args()
    if options.cases and options.data is None:
        parser.error("--cases needs --data, the folder of the archives")
    for name in options.cases:
        for budget in options.images_seen:
            for seed in options.seeds:
                records.add(Result, _run(CASES[name], budget, seed, options), RUNS_FILE)
    if options.write:
        page.write(
            ROOT / "docs" / "first-hour.md", read_evidence(), read_records(Tuned, LABELS_FILE)
        )
        choosing.write(ROOT / "docs" / "choosing-a-method.md", read_evidence())


def _run(case: Case, budget: int, seed: int, options: argparse.Namespace) -> list[Result]:
    folder = options.out / case.name
    epochs = math.ceil(budget / case.images)
    names = [f"{method}-{recipe}" for method in options.methods for recipe in options.recipes]
    (start,) = _rows(case, folder / f"untrained-{seed}", 0, seed, names[:1], options)
    rows = _rows(case, folder / f"{budget}-{seed}", epochs, seed, names, options)
    found = list(_results(case, epochs, seed, start, rows))
    for result in found:
        print(f"{result.method:12} {result.recipe:6} {result.untrained:5.1f} {result.knn:5.1f}")
    return found


def _rows(
    case: Case,
    out: Path,
    epochs: int,
    seed: int,
    names: Sequence[str],
    options: argparse.Namespace,
) -> list[RowResult]:
    rows = lightly_core.benchmark(
        SUITE,
        out=out,
        only=names,
        overwrite=True,
        data=case.data(options.data, options.out),
        run={**case.settings(), "epochs": epochs, "seed": seed},
        launcher_args={"rows_at_once": options.rows_at_once},
    )
    return [row for row in rows if row.name in names]


def _results(
    case: Case, epochs: int, seed: int, start: RowResult, rows: Sequence[RowResult]
) -> Iterator[Result]:
    commit = _commit()
    for row in rows:
        scores, measured = row.scores, row.measured
        if measured is None or None in (scores.knn_untrained, scores.knn_top1, scores.linear_top1):
            print(f"{row.name}: {row.state}, {row.error}")
            continue
        method, _, recipe = row.name.rpartition("-")
        yield Result(
            case=case.name,
            images_seen=epochs * case.images,
            method=method,
            recipe=recipe,
            seed=seed,
            untrained=_percent(scores.knn_untrained),
            knn=_percent(scores.knn_top1),
            untrained_linear=_percent(start.scores.linear_top1),
            linear=_percent(scores.linear_top1),
            num_test=case.num_test,
            minutes=round(measured.seconds / 60, 1),
            commit=commit,
        )


def _percent(accuracy: float | None) -> float:
    assert accuracy is not None
    return round(100 * accuracy, 2)


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
