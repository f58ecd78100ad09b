"""The page of measured speeds keeps what an earlier run has measured."""

from attrs import evolve

from benchmarks.measure import Measurements, Places, Result
from benchmarks.page import page
from benchmarks.row import Program, Row

PROGRAM = Program(("-c", "0"))
ROWS = [
    Row("decoding", "ms", PROGRAM, PROGRAM, "a peer", 2.0, bound="The decoder."),
    Row("a step", "ms", PROGRAM, most=3.0, bound="The network."),
]


def test_rows_that_were_not_measured_keep_their_lines():
    results = [Result(ROWS[0], (2.0, 1.0), (2.5, 2.1)), Result(ROWS[1], (4.0,), ())]
    first = page(ROWS, results, {}, "c1")
    assert "| decoding | 1.5 ms (1 to 2) | 2.3 ms (2.1 to 2.5) | a peer | 1.53 | >= 2 |" in first
    assert first.endswith("The decoder.\n\n- decoding\n\nThe network.\n\n- a step\n")
    second = page(ROWS, [Result(ROWS[0], (1.0,), (2.0,))], {}, "c2", first)
    assert "| a peer | 2.00 | >= 2 | yes | c2 |" in second
    assert "| a step | 4 ms (4 to 4) |  |  |  | <= 3 ms | no | c1 |" in second
    assert "The decoder." not in second


def test_a_program_that_failed_is_named():
    result = Result(ROWS[1], (), (), "no CUDA device")
    assert "| <= 3 ms | not run: no CUDA device | c1 |" in page(ROWS, [result], {}, "c1")


def test_a_reason_is_written_once_for_all_its_rows():
    rows = [ROWS[1], Row("its backward pass", "ms", PROGRAM, most=3.0, bound="The network.")]
    text = page(rows, [Result(row, (4.0,), ()) for row in rows], {}, "c1")
    assert text.endswith("\n\nThe network.\n\n- a step\n- its backward pass\n")


def test_a_program_runs_once_in_each_repetition_for_all_its_rows(tmp_path):
    code = """
import json, sys
open(sys.argv[1], 'a').write('x')
print(json.dumps({'a': 1, 'b': 2}))
"""
    own = Program(("-c", code, str(tmp_path / "runs")), value="a")
    measurements = Measurements(Places(tmp_path), repeats=3)
    rows = [Row(f"row {name}", "ms", evolve(own, value=name)) for name in "ab"]
    assert [measurements.measure(row).ours for row in rows] == [(1.0,) * 3, (2.0,) * 3]
    assert (tmp_path / "runs").read_text() == "xxx"
