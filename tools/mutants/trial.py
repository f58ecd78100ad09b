"""Runs the tests of mutants, each in a child of a process that has already imported torch.

A child imports the packages from a copy of the tree with the changed file. Heavy libraries are
imported once, in the parent.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing.process
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from attrs import asdict, frozen

from tools.mutants.coverage_map import CoverageMap, environment, is_own
from tools.mutants.places import Place

HEAVY = (
    *("torch", "torchvision", "lightning.pytorch", "timm", "ultralytics", "sklearn.datasets"),
    *("PIL.Image", "safetensors.torch", "tensorboard", "pyarrow.parquet", "matplotlib"),
)
# Limits in seconds, by the durations in the map: for tests of the place's room, for others.
_OWN_SECONDS, _OTHER_SECONDS = 30.0, 15.0
_TIMEOUT = "timeout"
_SECONDS_OF_A_FILE = 0.3  # to collect the tests of a file


@frozen
class Result:
    """The result of a mutant."""

    place: Place
    outcome: str  # "caught", "survived", or "uncovered" if no test runs the place
    by: str  # the test that failed, "timeout" or ""
    num_tests: int
    seconds: float

    def __str__(self) -> str:
        place = self.place
        where = f"{place.file}:{place.line} {place.operator}"
        return f"{self.outcome:9} {self.seconds:5.0f} s  {where}  {self.by}"

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))


class Bench:
    """A copy of the tree in which one mutant at a time is tested."""

    def __init__(self, tree: Path, folder: Path, coverage_map: CoverageMap) -> None:
        self.tree = folder / "tree"
        self.folder = folder
        self.map = coverage_map
        self._clock = count(1_000_000_000, 10)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.tree, ignore_errors=True)
        subprocess.run(["git", "init", "-q", str(self.tree)], check=True)
        listed = ["git", "-C", str(tree), "ls-files", "-z", "-c", "-o", "--exclude-standard"]
        names = subprocess.run(listed, check=True, capture_output=True).stdout.split(b"\0")
        for name in map(os.fsdecode, filter(None, names)):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            if (tree / name).is_file():
                shutil.copy2(tree / name, self.tree / name)

    def try_mutant(self, place: Place) -> Result:
        """Change the tree, run the tests that cover the place, and undo the change."""
        start = time.monotonic()
        tests = self.map.tests_of(place)
        if not tests:
            return Result(place, "uncovered", "", 0, 0.0)
        room = [name for name in tests if is_own(name, place)]
        rest = tests[len(room) :]
        num_tests = 0
        for names, limit in ((room, _OWN_SECONDS), (rest, _OTHER_SECONDS)):
            chosen = self._within(names, limit)
            num_tests += len(chosen)
            with self._changed(place):
                failed = self._run(chosen)
            if failed and self._passes_unchanged(failed, chosen):
                return Result(place, "caught", failed, num_tests, time.monotonic() - start)
        return Result(place, "survived", "", num_tests, time.monotonic() - start)

    def _within(self, names: list[str], limit: float) -> list[str]:
        """Return the first tests that fit into the time limit, at least one."""
        chosen: list[str] = []
        files: set[str] = set()
        for name in names:
            file = name.partition("::")[0]
            limit -= self.map.seconds[name] + (0 if file in files else _SECONDS_OF_A_FILE)
            if limit < 0 and chosen:
                break
            files.add(file)
            chosen.append(name)
        return chosen

    @contextlib.contextmanager
    def _changed(self, place: Place) -> Iterator[None]:
        """Change the file in this context. Time stamps are unique, so byte code is never stale."""
        path = self.tree / place.file
        source = path.read_text(encoding="utf-8")
        try:
            self._write(path, place.mutate(source))
            yield
        finally:
            self._write(path, source)

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        stamp = next(self._clock)
        os.utime(path, (stamp, stamp))

    def _passes_unchanged(self, failed: str, tests: list[str]) -> bool:
        """Return whether the failed test, or all tests after a timeout, pass without the change."""
        return not self._run(tests if failed == _TIMEOUT else [failed])

    def _run(self, tests: list[str]) -> str:
        """Run tests in a child. Return the first failure, "timeout", or "" if all pass."""
        if not tests:
            return ""
        answer = self.folder / "answer"
        answer.unlink(missing_ok=True)
        expected = sum(self.map.seconds.get(name, 1.0) for name in tests)
        child = os.fork()
        if child == 0:
            self._child(tests, answer)
        deadline = time.monotonic() + 120 + 10 * expected
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return answer.read_text() if answer.exists() else "the process died"
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return _TIMEOUT

    def _child(self, tests: list[str], answer: Path) -> None:
        try:
            os.setpgid(0, 0)
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.environ.update(environment(self.tree))
            # A run refuses to start in a child of multiprocessing, such as this process of a pool.
            multiprocessing.process._parent_process = None  # type: ignore[attr-defined]
            sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
            os.chdir(self.tree)
            answer.write_text(_first_failure(tests, self.folder / "temporary"))
        except BaseException:
            traceback.print_exc()
            answer.write_text(f"the run of the tests: {tests[0]}")
        finally:
            sys.stdout.flush()
            os._exit(0)


def _first_failure(tests: list[str], temporary: Path) -> str:
    class Recorder:
        failed: str = ""

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                self.failed = self.failed or report.nodeid

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                self.failed = self.failed or report.nodeid

    recorder = Recorder()
    options = ["-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
    code = pytest.main([*options, f"--basetemp={temporary}", *tests], plugins=[recorder])
    if recorder.failed or code == 0:
        return recorder.failed
    return tests[0]  # A conftest or a plugin could not be imported.


def preload(folder: Path) -> None:
    """Import heavy libraries, which mutants do not change.

    Args:
        folder: Folder for the settings of ultralytics, instead of the user's folder.
    """
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
