"""`docs/parity.md` has a word on every method; `nox -s parity` measures what it says."""

import re
from pathlib import Path

import pytest

import lightly_core
from parity.processes import TOLERANCE, cases

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/parity.md").read_text(encoding="utf-8")


def rows_below(heading):
    """The cells of the table under a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]


def test_every_method_has_a_comparison_or_a_statement():
    rows = rows_below("Methods")
    assert {row[0] for row in rows} == set(lightly_core.list_methods())
    for row in rows:
        assert row[1], row


@pytest.mark.parametrize("heading", ["Methods", "Building blocks"])
def test_no_number_is_above_its_tolerance(heading):
    for name, *_, value, gradient, tolerance, _ in rows_below(heading):
        measured = [float(number) for number in (value, gradient) if number not in ("", "-")]
        assert not measured or max(measured) <= float(tolerance), name


def test_the_table_of_processes_has_every_method_and_no_number_above_the_tolerance():
    rows = rows_below("1, 2 and 3 processes")
    assert [row[:2] for row in rows] == [[case.method, case.what] for case in cases()]
    assert {row[0] for row in rows} == set(lightly_core.list_methods())
    assert max(float(number) for row in rows for number in row[2:5]) <= TOLERANCE


def test_the_session_installs_the_version_that_the_page_names():
    (version,) = re.findall(r"Lightly SSL\]\(\S+\) ([\d.]+),", PAGE)
    assert f'"lightly=={version}"' in (ROOT / "noxfile.py").read_text(encoding="utf-8")
