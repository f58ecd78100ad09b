"""A sample of the files of the session `hostile`, read alone; the session takes all of them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def hostile(*options):
    command = [sys.executable, "-m", "tools.hostile", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.skipif(sys.platform != "linux", reason="makes pipes, devices and unusual names")
def test_odd_broken_and_hostile_files_are_read_right_or_listed():
    done = hostile("--alone", "--every", "7", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| links | 14 |" in done.stdout
    assert ", 0 problems, " in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="makes pipes, devices and unusual names")
def test_commands_survive_them():
    done = hostile("--every", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| 0 |") >= 3
