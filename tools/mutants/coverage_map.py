"""Maps lines to the tests that execute them, from one run of the tests with coverage.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from itertools import chain
from pathlib import Path

import pytest
from attrs import define
from coverage import CoverageData

from tools.mutants.places import Place

_OUTCOMES = "outcomes.json"
_COVERAGE = "coverage.sqlite"


def environment(tree: Path) -> dict[str, str]:
    """Return environment variables with which Python imports the packages of a tree."""
    folders = [tree, *sorted(tree.glob("plugins/*/src")), Path(__file__).parents[2]]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def measure(tree: Path, folder: Path, marker: str) -> None:
    """Run the tests of a tree once and store what they cover.

    Args:
        tree: Root of the repository.
        folder: Folder to which the files of the map are written.
        marker: Selects the tests, as ``pytest -m`` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "pytest", "-n", "2", "-m", marker, "-p", "no:cacheprovider"),
        *("-p", "tools.mutants.coverage_map", f"--cov={tree / 'lightly_core'}"),
        *(f"--cov={path}" for path in sorted(tree.glob("plugins/*/src"))),
        *("--cov-context=test", "--cov-report=", "--no-cov-on-fail"),
    ]
    names = {"COVERAGE_FILE": folder / _COVERAGE, "MUTANTS_OUTCOMES": folder / _OUTCOMES}
    values = environment(tree) | {name: str(path) for name, path in names.items()}
    subprocess.run(command, cwd=tree, env=values, check=False)


class _CpuTime:
    """Adds the CPU time of each phase of a test to its report, with that of ended processes.

    The map is the same on a busy machine as on a quiet one.
    """

    def __init__(self) -> None:
        self._since = 0.0

    def pytest_runtest_logstart(self) -> None:
        self._since = _cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = _cpu_seconds()
        report.cpu_seconds, self._since = now - self._since, now
        return report


def _cpu_seconds() -> float:
    return sum(os.times()[:4])  # user and system, of this process and of its children


class _Recorder:
    """Stores how long each test took and whether it passed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.seconds: dict[str, float] = defaultdict(float)
        self.passed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += getattr(report, "cpu_seconds", report.duration)
        bad = report.failed or (report.skipped and not hasattr(report, "wasxfail"))
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and not bad

    def pytest_sessionfinish(self) -> None:
        found = {name: self.seconds[name] for name, passed in self.passed.items() if passed}
        Path(self.file).write_text(json.dumps(found))


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder, or in a worker the measurement, if `measure` started the tests."""
    file = os.environ.get("MUTANTS_OUTCOMES")
    if file:
        in_worker = hasattr(config, "workerinput")
        config.pluginmanager.register(_CpuTime() if in_worker else _Recorder(file))


@define
class CoverageMap:
    """The tests that passed, their duration, and the lines that they execute."""

    seconds: dict[str, float]
    data: CoverageData
    tree: Path

    @classmethod
    def read(cls, tree: Path, folder: Path) -> CoverageMap:
        """Read the files that `measure` wrote."""
        data = CoverageData(str(folder / _COVERAGE))
        data.read()
        return cls(json.loads((folder / _OUTCOMES).read_text()), data, tree)

    def tests_of(self, place: Place) -> list[str]:
        """Return the tests that run a place, those of its room first, then the fastest first.

        Lines of a module, a class or a signature run on import, not in a test. For these, the tests
        that run any line of the file are returned, all of the room, and those that look at the
        definitions of all rooms.
        """
        by_line = self.data.contexts_by_lineno(str(self.tree / place.file))
        running = self._tests(by_line.get(place.line, ())) if place.function else set()
        names = running
        if not running:
            running = self._tests(chain.from_iterable(by_line.values()))
            names = running | {name for name in self.seconds if is_own(name, place)}
            names |= {name for name in self.seconds if name.startswith(_READ_DEFINITIONS)}

        def order(name: str) -> tuple[bool, bool, bool, float, str]:
            reads = name.startswith(_READ_DEFINITIONS)
            return not is_own(name, place), not reads, name not in running, self.seconds[name], name

        return sorted(names, key=order)

    def _tests(self, contexts: Iterable[str]) -> set[str]:
        return {context.rpartition("|")[0] for context in contexts} & self.seconds.keys()


#: Tests that look at the definitions of all rooms: defaults, what is frozen, what methods declare.
_READ_DEFINITIONS = (
    *(
        "tests/config/test_docs.py",
        "tests/contracts/test_frozen.py",
        "tests/contracts/test_facts.py",
    ),
    *("tests/engine/test_sharded_methods.py", "tests/methods/test_options.py"),
)
_TESTS_OF_ROOMS = {
    "benchmarking": ("tests/benchmark/",),
    "core": ("tests/",),
    "data": ("tests/data/", "tests/views/"),
    "methods": ("tests/methods/", "plugins/dino/tests/", "plugins/methods/tests/"),
}


def is_own(test: str, place: Place) -> bool:
    """Return whether a test is in a folder of a place's room."""
    if place.room.startswith("plugins/"):
        return test.startswith(f"{place.room}/tests/")
    return test.startswith(_TESTS_OF_ROOMS.get(place.room, (f"tests/{place.room}/",)))
