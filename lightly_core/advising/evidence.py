"""The measured short runs on which the advice rests, read from files of this folder. No torch here.

`first-hour.csv` has the runs, which `python -m tools.first_hour` adds, and `first-hour-cases.csv`
the data sets and networks. docs/first-hour.md shows them as tables.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Literal, TypeAlias, TypeVar

from attrs import AttrsInstance, define, fields

from lightly_core.evaluation.uncertainty import STANDARD_ERRORS, error_of_difference

#: The runs.
RUNS_FILE = Path(__file__).with_name("first-hour.csv")
#: The data sets and networks.
CASES_FILE = Path(__file__).with_name("first-hour-cases.csv")
#: Images of a batch in all runs.
BATCH_SIZE = 128

Network: TypeAlias = Literal["convolutional", "transformer"]
Pixels: TypeAlias = Literal["colour", "grey"]
R = TypeVar("R", bound=AttrsInstance)

#: Readers of the columns, by the annotation of the field. All others are strings.
_READERS: Mapping[str, Callable[[str], object]] = {"int": int, "float": float}


@define(frozen=True, kw_only=True)
class Case:
    """A data set and a network.

    Attributes:
        name: Name in the table.
        data_set: Where the images are from.
        images: Training images.
        side: Size of a view in pixels.
        model: Network.
        network: Its kind.
        pixels: Whether the images have colours.
    """

    name: str
    data_set: str
    images: int
    side: int
    model: str
    network: Network
    pixels: Pixels = "colour"


@define(frozen=True, kw_only=True)
class Result:
    """A short run. Accuracies are in percent, of the test images.

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


@define(frozen=True)
class Row:
    """Runs that differ in their seeds only. Accuracies are means in percent.

    Attributes:
        case: Data set and network.
        runs: The runs, at least one.
    """

    case: Case
    runs: tuple[Result, ...]

    @property
    def images_seen(self) -> int:
        """Training images times epochs."""
        return self.runs[0].images_seen

    @property
    def method(self) -> str:
        """The method."""
        return self.runs[0].method

    @property
    def recipe(self) -> str:
        """The recipe."""
        return self.runs[0].recipe

    @property
    def untrained(self) -> float:
        """KNN top-1 of the network before training."""
        return fmean(run.untrained for run in self.runs)

    @property
    def knn(self) -> float:
        """KNN top-1 of the network after training."""
        return fmean(run.knn for run in self.runs)

    @property
    def untrained_linear(self) -> float:
        """Top-1 of a linear classifier before training."""
        return fmean(run.untrained_linear for run in self.runs)

    @property
    def linear(self) -> float:
        """Top-1 of a linear classifier after training."""
        return fmean(run.linear for run in self.runs)

    @property
    def num_test(self) -> int:
        """Test images, those of the smallest test set."""
        return min(run.num_test for run in self.runs)

    @property
    def gain(self) -> float:
        """Points of kNN above the untrained network."""
        return self.knn - self.untrained

    @property
    def gain_error(self) -> float:
        """Standard error of `gain`."""
        return points_error(self.untrained, self.knn, self.num_test)

    @property
    def learns(self) -> bool:
        """Whether the gain is more than two standard errors."""
        return self.gain > STANDARD_ERRORS * self.gain_error

    def error_to(self, other: Row) -> float:
        """Return the standard error of the difference in kNN to another row."""
        return points_error(self.knn, other.knn, min(self.num_test, other.num_test))


def points_error(first: float, second: float, num_test: int) -> float:
    """Return the standard error of the difference of two accuracies, rounded up to a tenth.

    Seeds classify the same images with other networks. They are treated as one sample, so the error
    is rather too large than too small.

    Args:
        first: Accuracy in percent.
        second: Another one.
        num_test: Images of each.
    """
    return math.ceil(1000 * error_of_difference(first / 100, second / 100, num_test)) / 10


def read_records(cls: type[R], file: Path) -> list[R]:
    """Return the records of a file of comma-separated values; none if there is no file.

    Args:
        cls: A frozen attrs class of numbers and strings, whose fields are the columns.
        file: The file.
    """
    if not file.is_file():
        return []
    readers = {field.name: _READERS.get(str(field.type), str) for field in fields(cls)}
    with file.open(encoding="utf-8", newline="") as opened:
        return [
            cls(**{name: readers[name](value) for name, value in row.items()})
            for row in csv.DictReader(opened)
        ]


def read_cases() -> dict[str, Case]:
    """Return the data sets and networks, by name."""
    return {case.name: case for case in read_records(Case, CASES_FILE)}


def rows_of(results: Iterable[Result], cases: Mapping[str, Case]) -> list[Row]:
    """Return the rows of some runs, in the order of their first ones.

    Args:
        results: The runs.
        cases: Their data sets and networks, by name.
    """
    groups: dict[tuple[str, int, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault(result.key[:4], []).append(result)
    return [Row(cases[key[0]], tuple(runs)) for key, runs in groups.items()]


def read_evidence() -> list[Row]:
    """Return the rows of all runs."""
    return rows_of(read_records(Result, RUNS_FILE), read_cases())
