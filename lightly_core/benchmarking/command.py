"""The implementation of `lightly benchmark` and `lightly_core.benchmark`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightly_core.benchmarking.planning import Plan, plan_rows
from lightly_core.benchmarking.plot import MISSING, Line, can_plot, write_plot
from lightly_core.benchmarking.results import RowResult
from lightly_core.benchmarking.results import has_finished as row_has_finished
from lightly_core.benchmarking.runner import refuse_impossible, run_suite
from lightly_core.benchmarking.running import Say
from lightly_core.benchmarking.state import RowFolder
from lightly_core.benchmarking.suite import Suite, load_suite
from lightly_core.benchmarking.sweeps.table import write_sweep
from lightly_core.benchmarking.table import write_csv, write_markdown
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.reading.child import refuse_in_child
from lightly_core.config.reading.launch import find_launch
from lightly_core.errors import ConfigError
from lightly_core.plugins.discovery import blocked_plugins, get_plugins


def benchmark_suite(
    suite: str | Path,
    *,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    command: str,
    say: Say,
) -> list[RowResult]:
    """Run a suite and write its tables and its plot; see `lightly_core.benchmark`.

    Args:
        suite: The TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
        command: What the user typed, for the table.
        say: Reports progress, one line per call.
    """
    refuse_in_child("benchmark")
    launch = find_launch()
    if launch is not None and launch.world_size > 1:
        raise ConfigError(
            f"benchmark() starts a process for each row and must be started once, but "
            f"{launch.launcher} started it {launch.world_size} times; start it alone, and give the "
            "rows devices=N"
        )
    read = load_suite(catalog=get_plugins().catalog, suite=suite, pairs=pairs, arguments=arguments)
    command = str(without_secrets(command))

    def write(results: Sequence[RowResult]) -> None:
        write_csv(results, read.folder / "results.csv")
        write_markdown(read, results, command, read.folder / "results.md")
        for result in results:
            write_sweep(result, read.folder / result.name)
        if can_plot():
            write_plot([_line(result) for result in results], read.name, read.folder)

    for text in read.notes:
        say(f"note: {text}")
    if not can_plot():
        say(MISSING)
    results = run_suite(read, write=write, say=say, blocked_plugins=blocked_plugins())
    say(f"Table: {read.folder / 'results.md'}")
    return results


def plan_suite(suite: str | Path, *, pairs: Sequence[str] = ()) -> tuple[Suite, list[Plan]]:
    """Check a suite and plan the rows that would be run; nothing is written.

    Raises:
        ConfigError: Settings are wrong, or a row cannot run here.
    """
    read = load_suite(catalog=get_plugins().catalog, suite=suite, pairs=pairs)
    rows = [row for row in read.rows if row.name in read.chosen]
    plans = plan_rows(rows, blocked_plugins(), read.launcher.row_machine())
    refuse_impossible({row.name: plan for row, plan in zip(rows, plans, strict=True)})
    return read, plans


def has_finished(suite: Suite, name: str) -> bool:
    """Return whether a row has finished, so that it is not run again."""
    (row,) = (row for row in suite.rows if row.name == name)
    return row_has_finished(row, RowFolder(suite.folder / name))


def _line(result: RowResult) -> Line:
    curves = result.measured.curves if result.measured is not None else {}
    name = result.row.name
    return Line(label=name, model=result.row.model, points=curves.get("knn/top1", ()))
