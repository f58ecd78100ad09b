"""A sample of the files of the session `hostile`, read alone; the session takes all of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools.hostile import extras
from tools.hostile.alone import read_alone

ROOT = Path(__file__).parents[2]


def hostile(*options):
    command = [sys.executable, "-m", "tools.hostile", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="makes pipes, devices and unusual names")
def test_odd_broken_and_hostile_files_are_read_right_or_listed():
    done = hostile("--alone", "--every", "7", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| links | 14 |" in done.stdout
    assert ", 0 problems, " in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="sets a timer of signals")
def test_all_files_in_the_formats_of_extras_are_read_right_or_listed(tmp_path):
    for package in ("pillow_heif", "pydicom"):
        pytest.importorskip(package)
    folder = os.fsencode(tmp_path)
    cases = list(extras.cases(np.random.default_rng(0)))
    for case in cases:
        case.write(folder)
    found = {outcome.case.name: outcome.wrong for outcome in read_alone(cases, folder)}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="makes pipes, devices and unusual names")
def test_commands_survive_them():
    done = hostile("--every", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| 0 |") >= 3
