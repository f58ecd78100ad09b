"""The tables of docs/first-hour.md: records in files, errors of differences, counts."""

import math
from pathlib import Path

from attrs import evolve

from tools.first_hour import page, records
from tools.first_hour.results import FILE, LABELS_FILE, ROOT, SCRATCH, Result, Tuned

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
TUNED = Tuned(
    case="cifar5k", images_seen=0, labels=50, start=SCRATCH, seed=0, top1=20.0, num_test=1_000
)


def test_records_are_read_as_they_were_written_and_replace_those_of_the_same_key(
    tmp_path: Path,
) -> None:
    file = tmp_path / "results.csv"
    records.add(Result, [RESULT, evolve(RESULT, recipe="paper")], file)
    assert records.read(Result, file) == [evolve(RESULT, recipe="paper"), RESULT]

    records.add(Result, [evolve(RESULT, knn=31.5)], file)
    assert [result.knn for result in records.read(Result, file)] == [30.0, 31.5]


def test_a_gain_is_compared_with_its_standard_error() -> None:
    (cell,) = page.cells([RESULT, evolve(RESULT, recipe="paper", knn=27.0)])
    error = 100 * math.sqrt((0.2 * 0.8 + 0.3 * 0.7) / 1_000)
    assert abs(cell.gain_error - error) <= 0.1  # rounded up to a tenth
    assert cell.learns
    assert not cell.is_below_paper
    assert cell.ahead == 3.0

    (worse,) = page.cells([evolve(RESULT, knn=23.0), evolve(RESULT, recipe="paper", knn=27.0)])
    assert not worse.learns
    assert worse.is_below_paper


def test_the_summary_counts_cells_from_200_000_images_seen_on() -> None:
    found = [
        RESULT,
        evolve(RESULT, recipe="paper", knn=27.0),
        evolve(RESULT, method="byol", knn=21.0),
        evolve(RESULT, method="dino", images_seen=50_000),
    ]
    text = page.summary(page.cells(found))
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
    page.write(copy, records.read(Result, FILE), records.read(Tuned, LABELS_FILE))
    assert copy.read_bytes() == written.read_bytes()
