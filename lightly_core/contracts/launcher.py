"""The contract of launchers, which run the rows of a suite on this machine or on a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

#: How a row is asked to end: after it has saved, at once but by itself, or killed.
Stop = Literal["save", "now", "kill"]


@dataclass(frozen=True)
class SuiteInfo:
    """What a launcher knows about a suite. The folder need not exist yet.

    Attributes:
        name: Name of the suite.
        folder: Where everything is written, an absolute path.
        modules: Modules that all its rows import. A launcher may import them ahead.
        say: Shows a line to the user.
    """

    name: str
    folder: Path
    modules: tuple[str, ...]
    say: Callable[[str], None]


@dataclass(frozen=True)
class RowJob:
    """A row that is to be run. All paths are absolute.

    Attributes:
        name: Name of the row; a trial of a sweep has a slash in it.
        job: The file with its settings, the argument of ``python -m
            lightly_core.cli.benchmark_row``.
        log: File that the output of its process is added to.
        place: The working directory.
    """

    name: str
    job: Path
    log: Path
    place: Path


@dataclass(frozen=True)
class RowEnd:
    """The end of a row's process. Its results are in its files.

    Attributes:
        name: Name of the row.
        code: Its exit code; minus the signal's number if a signal ended it; None: it did not
            start, or its machine was lost.
        problem: Why there is no code.
    """

    name: str
    code: int | None
    problem: str = ""


@dataclass(frozen=True)
class RowMachine:
    """What a row may use on its machine.

    Attributes:
        cpus: Number of CPUs, at least 1.
        gpus: Number of GPUs that it sees.
    """

    cpus: int
    gpus: int


class Launcher(ABC):
    """Runs rows. The suite writes their jobs, and reads their results from their folders.

    A suite builds it with exactly these two arguments, by position, and calls it from one thread.
    Then it calls `open` once, `submit`, `wait` and `stop` in turn, and `close` at the end in any
    case, also without `open`.

    Attributes:
        elsewhere: Whether rows run on other machines. Their folders must then be on storage that
            all machines share, and a row whose process was interrupted by its machine is submitted
            again.

    Args:
        config: Options, an instance of the class that its `LauncherRecord` names.
        suite: The suite.
    """

    elsewhere: bool = True

    def __init__(self, config: Any, suite: SuiteInfo) -> None:  # noqa: ANN401
        self.config = config
        self.suite = suite

    @classmethod
    def row_machine(cls, config: Any) -> RowMachine | None:  # noqa: ANN401
        """Return what a row may use, for the plan of its length; None: all of this machine.

        Args:
            config: Options.
        """
        return None

    @property
    def capacity(self) -> int | None:
        """How many rows may be submitted at the same time; None: any number."""
        return None

    def open(self) -> None:  # noqa: B027 - optional
        """Connect, before anything is written.

        Raises:
            LightlyError: The cluster cannot be reached, or can never run a row.
        """

    @abstractmethod
    def submit(self, jobs: Sequence[RowJob]) -> None:
        """Start rows, or have them started later. A name may be used again after its row ended."""

    @abstractmethod
    def wait(self, seconds: float) -> list[RowEnd]:
        """Return the rows that have ended since the last call, each once.

        Args:
            seconds: How long to wait for the first one, if rows are running.
        """

    @abstractmethod
    def stop(self, names: Sequence[str], how: Stop) -> None:
        """Ask rows to end. It returns at once, and `wait` returns their ends.

        Args:
            names: Rows. Those that have ended are ignored.
            how: ``save``: the first Ctrl-C, a row ends after it has saved. ``now``: the second, it
                ends unsaved. ``kill``: it is killed.
        """

    @abstractmethod
    def close(self) -> None:
        """Kill the rows that still run, and free everything."""
