import csv
import io

import pytest

from lightly_core.data.names import harmless, read_back, shown, written

NAMES = [
    "a.png",
    "b/ü ☃ 東　京.png",
    "\x1b[2J\x1b]0;title\x07.png",
    "two\nlines\r.png",
    "caf\udce9.png",
    "back\\slash\\n.png",
    "=cmd|' /C calc'!A0.png",
    "a;=1+1;@x.png",
    "-1+1",
    "+1",
    "@SUM(A1)",
    "\t=1",
    "\uff1d1.png",
    "\u202egnp.exe",
    "\ufeffa",
    "\\x3d",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_written_name_is_harmless_and_comes_back(name):
    cell = written(name)
    assert read_back(cell) == name
    assert all(letter.isprintable() or letter == "　" for letter in cell)
    assert not any(part.lstrip().startswith(tuple("=+-@\uff1d")) for part in cell.split(";"))
    table = io.StringIO(newline="")
    csv.writer(table).writerow([1, cell])
    (row,) = csv.reader(io.StringIO(table.getvalue(), newline=""))
    assert read_back(row[1]) == name


def test_ordinary_names_are_written_as_they_are():
    for name in ("a.png", "b/ü ☃.png", "b-1/=.png", 'it\'s "one", two.png'):
        assert written(name) == shown(name) == name


def test_shown_names_obey_no_terminal_and_are_cut():
    assert shown("\x1b[31m\n\x9b") == "\\x1b[31m\\n\\x9b"
    cut = shown("a" * 500 + "z")
    assert (len(cut), cut[0], cut[-1]) == (299, "a", "z")


def test_texts_of_several_lines_stay_so():
    assert harmless("one\n\ttwo \x1b[0m") == "one\n\ttwo \\x1b[0m"
