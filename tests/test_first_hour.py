"""The tables of docs/first-hour.md: records in files, errors of differences, counts."""

import math
from collections.abc import Iterable
from pathlib import Path

from attrs import evolve

from lightly_core.advising.evidence import (
    RUNS_FILE,
    Case,
    Result,
    read_cases,
    read_evidence,
    read_records,
    rows_of,
)
from tools.first_hour import choosing, page, records
from tools.first_hour.cases import CASES
from tools.first_hour.results import LABELS_FILE, ROOT, SCRATCH, Tuned

RESULT = Result(
    case="cifar5k",
    images_seen=200_000,
    method="simclr",
    recipe="small",
    seed=0,
    untrained=20.0,
    knn=30.0,
    untrained_linear=25.0,
    linear=35.0,
    num_test=1_000,
    minutes=1.5,
    commit="0e12345",
)
CASE = Case(
    name="cifar5k",
    data_set="CIFAR-10",
    images=5_000,
    side=32,
    model="timm/test_resnet",
    network="convolutional",
)
TUNED = Tuned(
    case="cifar5k", images_seen=0, labels=50, start=SCRATCH, seed=0, top1=20.0, num_test=1_000
)


def cells(results: Iterable[Result]) -> list[page.Cell]:
    return page.cells(rows_of(results, {"cifar5k": CASE}))


def test_records_are_read_as_they_were_written_and_replace_those_of_the_same_key(
    tmp_path: Path,
) -> None:
    file = tmp_path / "results.csv"
    records.add(Result, [RESULT, evolve(RESULT, recipe="paper")], file)
    assert read_records(Result, file) == [evolve(RESULT, recipe="paper"), RESULT]

    records.add(Result, [evolve(RESULT, knn=31.5)], file)
    assert [result.knn for result in read_records(Result, file)] == [30.0, 31.5]


def test_a_gain_is_compared_with_its_standard_error() -> None:
    (cell,) = cells([RESULT, evolve(RESULT, recipe="paper", knn=27.0)])
    error = 100 * math.sqrt((0.2 * 0.8 + 0.3 * 0.7) / 1_000)
    assert abs(cell.small.gain_error - error) <= 0.1  # rounded up to a tenth
    assert cell.small.learns
    assert not cell.is_below_paper
    assert cell.ahead == 3.0

    (worse,) = cells([evolve(RESULT, knn=23.0), evolve(RESULT, recipe="paper", knn=27.0)])
    assert not worse.small.learns
    assert worse.is_below_paper


def test_the_summary_counts_cells_from_200_000_images_seen_on() -> None:
    found = [
        RESULT,
        evolve(RESULT, recipe="paper", knn=27.0),
        evolve(RESULT, method="byol", knn=21.0),
        evolve(RESULT, method="dino", images_seen=50_000),
    ]
    text = page.summary(cells(found))
    assert "two standard errors | 1 of 2 |" in text
    assert "above the paper's values | 1 of 1 |" in text


def test_fine_tuning_is_compared_with_the_same_number_of_labels_from_scratch() -> None:
    tuned = [
        TUNED,
        evolve(TUNED, start="simclr-small", images_seen=200_000, top1=26.0),
        evolve(TUNED, labels=500, top1=40.0),
    ]
    lines = page.labels_table(tuned).splitlines()
    assert [line for line in lines if "+6.0" in line] == [lines[3]]
    assert lines[3].startswith("| cifar5k | 50 | simclr-small | 200,000 | 1 | 26.0 |")


def test_the_page_has_the_tables_of_its_files(tmp_path: Path) -> None:
    written = ROOT / "docs" / "first-hour.md"
    copy = tmp_path / "page.md"
    copy.write_bytes(written.read_bytes())
    page.write(copy, read_evidence(), read_records(Tuned, LABELS_FILE))
    assert copy.read_bytes() == written.read_bytes()


def test_the_page_about_methods_has_the_table_of_the_runs(tmp_path: Path) -> None:
    written = ROOT / "docs" / "choosing-a-method.md"
    copy = tmp_path / "page.md"
    copy.write_bytes(written.read_bytes())
    choosing.write(copy, read_evidence())
    assert copy.read_bytes() == written.read_bytes()


def test_gains_that_are_as_good_as_the_best_of_their_column_are_bold() -> None:
    other = evolve(CASE, name="other")
    runs = [
        RESULT,
        evolve(RESULT, recipe="paper", knn=29.0),
        evolve(RESULT, method="byol", knn=28.5),
        evolve(RESULT, method="byol", recipe="paper", knn=28.9),
        evolve(RESULT, method="dino", knn=27.0),
        evolve(RESULT, method="dino", images_seen=400_000, knn=60.0),
        evolve(RESULT, case="other", method="dino", knn=21.0),
    ]
    # The error of 30.0 and 28.9 % of 1,000 images is 2.1 points, and 27.0 % are 3 points less.
    lines = choosing.gains_table(rows_of(runs, {"cifar5k": CASE, "other": other})).splitlines()
    assert lines[0] == "|  | cifar5k | other |"
    assert lines[2:] == [
        "| images seen | 200,000 | 200,000 |",
        "| `byol` | **+8.9 (2.0)** paper |  |",
        "| `dino` | +7.0 (1.9) | **+1.0 (1.9)** |",
        "| `simclr` | **+10.0 (2.0)** |  |",
    ]


def test_every_run_is_of_a_known_case() -> None:
    runs = read_records(Result, RUNS_FILE)
    assert {run.case for run in runs} <= read_cases().keys() == CASES.keys()
    assert all(run.num_test == CASES[run.case].num_test for run in runs)


def test_seeds_are_averaged_and_other_recipes_are_other_rows() -> None:
    runs = [RESULT, evolve(RESULT, seed=1, knn=34.0), evolve(RESULT, recipe="paper", knn=1.0)]
    small, paper = rows_of(runs, {"cifar5k": CASE})
    assert (small.knn, small.gain, paper.knn) == (32.0, 12.0, 1.0)
    assert [len(row.runs) for row in (small, paper)] == [2, 1]
