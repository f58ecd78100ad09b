"""Results of the first hour in a file of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import asdict, define, fields

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "first-hour.csv"


@define(frozen=True, kw_only=True)
class Result:
    """A run of the first hour. Accuracies are in percent, of the test images.

    Attributes:
        case: Name of data set and network.
        images_seen: Training images times epochs.
        method: Method.
        recipe: Recipe.
        seed: Seed.
        untrained: kNN top-1 of the network before training.
        knn: The same after training.
        untrained_linear: Top-1 of a linear classifier before training.
        linear: The same after training.
        num_test: Test images.
        minutes: Time of the training.
        commit: Commit that was measured.
    """

    case: str
    images_seen: int
    method: str
    recipe: str
    seed: int
    untrained: float
    knn: float
    untrained_linear: float
    linear: float
    num_test: int
    minutes: float
    commit: str

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        """What identifies a run."""
        return self.case, self.images_seen, self.method, self.recipe, self.seed


_KINDS = {"images_seen": int, "seed": int, "num_test": int}
_NUMBERS = ("untrained", "knn", "untrained_linear", "linear", "minutes")


def read(file: Path = FILE) -> list[Result]:
    """Return the results in the file; none if there is no file."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        return [Result(**_typed(row)) for row in csv.DictReader(opened)]


def _typed(row: dict[str, str]) -> dict[str, object]:
    kinds = {**_KINDS, **dict.fromkeys(_NUMBERS, float)}
    return {name: kinds.get(name, str)(text) for name, text in row.items()}


def add(new: Iterable[Result], file: Path = FILE) -> None:
    """Write results to the file. They replace earlier ones of the same runs."""
    found = {result.key: result for result in (*read(file), *new)}
    _write(sorted(found.values(), key=lambda result: result.key), file)


def _write(results: Sequence[Result], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        names = [one.name for one in fields(Result)]
        writer = csv.DictWriter(opened, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
