"""Progress is shown as the place allows, and costs nothing that can be measured."""

import logging
import os
import subprocess
import sys
import time

import pytest
from all_progress import show_all_progress

from lightly_core import progress
from lightly_core.progress import tracked

ROOT = os.path.dirname(os.path.dirname(__file__))


@pytest.fixture(autouse=True)
def place(monkeypatch):
    """A place without terminal, and without the variables of the machine."""
    for name in ("LIGHTLY_PROGRESS", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


class Clock:
    """A clock that each item moves on by `step` seconds."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        return self.now

    def items(self, number):
        for item in range(number):
            self.now += self.step
            yield item


def lines_of(number, step, monkeypatch, caplog, **settings):
    clock = Clock(step)
    monkeypatch.setattr(progress, "time", clock)
    with caplog.at_level(logging.INFO, "lightly_core.progress"):
        assert list(tracked(clock.items(number), "Reading", **settings)) == list(range(number))
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("number", "step"), [(100, 0.0199), (10**5, 9e-5), (19, 0.5)])
def test_short_work_shows_nothing(monkeypatch, caplog, number, step):
    assert lines_of(number, step, monkeypatch, caplog, total=number) == []


def test_lines_give_fraction_rate_and_time_left(monkeypatch, caplog):
    lines = lines_of(1000, 0.125, monkeypatch, caplog, total=1000)
    assert lines[0] == "Reading: 100 of 1,000 images (10 %), 8/s, 0:01:52 left"
    assert len(lines) == 9
    caplog.clear()
    lines = lines_of(1000, 0.125, monkeypatch, caplog, unit="files")
    assert lines[0].startswith("Reading: 8")
    assert lines[0].endswith(" files, 8/s")


def test_of_slow_work_there_is_a_line_each_minute(monkeypatch, caplog):
    lines = lines_of(3000, 1.0, monkeypatch, caplog, total=30_000)
    assert 45 <= len(lines) <= 50


def test_bytes_have_units(monkeypatch, caplog):
    lines = lines_of(200, 0.1, monkeypatch, caplog, total=200)
    assert lines
    caplog.clear()
    monkeypatch.setattr(progress, "time", clock := Clock(0))
    with (
        caplog.at_level(logging.INFO, "lightly_core.progress"),
        progress.progress("Downloading", 4_000_000, unit="bytes", done=1_000_000) as task,
    ):
        clock.now = 20.0
        task.reach(2_000_000)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == "Downloading: 2.0 MB of 4.0 MB (50 %), 50.0 kB/s, 0:00:40 left"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LIGHTLY_PROGRESS", "off"), ("LIGHTLY_PROGRESS", "0"), ("TQDM_DISABLE", "1")],
)
def test_it_can_be_switched_off(monkeypatch, caplog, name, value):
    monkeypatch.setenv(name, value)
    assert lines_of(1000, 0.1, monkeypatch, caplog, total=1000) == []


def test_a_typo_in_the_variable_is_told_once(monkeypatch, caplog):
    monkeypatch.setenv("LIGHTLY_PROGRESS", "of")
    progress._warn_once.cache_clear()
    lines = lines_of(1000, 0.1, monkeypatch, caplog, total=1000)
    lines += lines_of(1000, 0.1, monkeypatch, caplog, total=1000)
    assert [line for line in lines if not line.startswith("Reading")][:1] == [
        "LIGHTLY_PROGRESS: expected off, lines, bar or auto, got 'of'"
    ]
    assert caplog.text.count("expected off") == 1


def test_other_processes_of_a_run_show_nothing(monkeypatch, caplog):
    with progress.hidden():
        assert lines_of(1000, 0.1, monkeypatch, caplog, total=1000) == []
    assert lines_of(1000, 0.1, monkeypatch, caplog, total=1000) != []


def test_the_clock_is_rarely_read(monkeypatch):
    reads = []

    class Counting(Clock):
        def monotonic(self):
            reads.append(self.now)
            return super().monotonic()

    clock = Counting(1e-6)
    monkeypatch.setattr(progress, "time", clock)
    for _ in tracked(clock.items(10**6), "Reading"):
        pass
    assert len(reads) < 60  # in a second, of a million items


@pytest.mark.slow
def test_work_that_cannot_tell_what_is_done_shows_its_seconds(monkeypatch, caplog):
    show_all_progress(monkeypatch)
    with caplog.at_level(logging.INFO, "lightly_core.progress"), progress.working("Writing x"):
        time.sleep(1.3)
    assert [record.getMessage() for record in caplog.records] == ["Writing x: 1 s, still working"]


# --------------------------------------------------------------------------- in a terminal

WORK = """
import logging, sys, time
from lightly_core import progress
progress.START_SECONDS = progress.LOOK_SECONDS = 0.02
{before}
with progress.progress("Outer work", 20) as outer:
    for number in range(20):
        with progress.progress("Inner work", 3, unit="steps") as inner:
            for _ in range(3):
                time.sleep(0.01)
                inner.advance()
        outer.advance()
        if number == 10:
            {middle}
print("after")
"""
LOGS = "from lightly_core.engine.logs import RunLogs; logs = RunLogs(True).__enter__()"


def in_terminal(before="", middle="print('a line')", stdout=None, **environment):
    """What is written to the terminal, and the exit code."""
    import pty

    ours, theirs = pty.openpty()
    code = WORK.format(before=before, middle=middle)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "80", "LINES": "24", **environment},
        cwd=ROOT,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # all have closed it
            break
        if not part:
            break
        written += part
    os.close(ours)
    return written.decode(), process.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_a_terminal_shows_bars_and_keeps_other_lines_whole():
    text, code = in_terminal(LOGS, "logging.getLogger('lightly_core.x').info('a line')")
    assert code == 0
    assert "Outer work" in text
    assert "of 20 images" in text
    assert "Inner work" in text
    assert "\x1b[2Ka line\n" in text.replace("\r", "")
    assert text.rstrip().endswith("after")
    assert "\x1b[?25h" in text  # the cursor is shown again


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_an_error_leaves_the_terminal_in_order():
    text, code = in_terminal(LOGS, "raise ValueError('wrong')")
    assert code == 1
    assert "ValueError: wrong" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_a_dumb_terminal_gets_lines_and_no_control_sequences():
    before = LOGS + "; progress.LINE_SECONDS = 0.1"
    text, code = in_terminal(before, "pass", TERM="dumb")
    assert code == 0
    assert "Outer work: " in text
    assert "\x1b" not in text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
def test_with_stdout_in_a_file_it_holds_lines_and_no_bar(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        before = LOGS + "; progress.LINE_SECONDS = 0.1"
        text, code = in_terminal(before, stdout=file)
    assert code == 0
    assert "Outer work" in text
    lines = (tmp_path / "out.txt").read_text()
    assert "\x1b" not in lines
    assert "Outer work: " in lines
    assert lines.endswith("after\n")


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_closed_streams_are_no_error(closed, tmp_path):
    code = WORK.format(before=LOGS, middle="pass") + f"open({str(tmp_path / 'x')!r}, 'w')"
    command = f'exec "$0" -c "$1" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, code], cwd=ROOT, timeout=120)
    assert done.returncode == 0
    assert (tmp_path / "x").is_file()


def test_fast_work_reads_the_clock_about_ten_times_a_second(monkeypatch):
    readings = []

    class Counted(Clock):
        def monotonic(self):
            readings.append(self.now)
            return super().monotonic()

    clock = Counted(1e-5)
    monkeypatch.setattr(progress, "time", clock)
    number = 3 * 10**5  # three seconds of work
    for _ in tracked(clock.items(number), "Reading", number):
        pass
    assert 20 <= len(readings) <= 80
