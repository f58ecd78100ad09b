import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples/continue_pretraining.py"


@pytest.mark.slow
def test_the_ways_of_going_on_are_measured(tmp_path):
    command = [sys.executable, EXAMPLE, tmp_path, "--first-epochs", "1", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ("all at once", "heads first")
    rows = [line for line in done.stdout.splitlines() if line.startswith(names)]
    assert [row.split("  ")[0] for row in rows] == [
        "all at once",
        "heads first",
        "heads first, anchor",
    ]
    for row in rows:
        first, second = (float(value) for value in row[20:].split())
        assert first > 20
        assert second > 20
    # Where only the heads have learned, the network is the one that came in.
    assert rows[1][20:].split()[0] == rows[1][20:].split()[1]
