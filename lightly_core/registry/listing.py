"""The list of runs: chosen and sorted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lightly_core.config.options.runs import RunsConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.errors import ConfigError
from lightly_core.notebook import Table
from lightly_core.progress import progress
from lightly_core.registry.entry import RunEntry
from lightly_core.registry.find import find_runs
from lightly_core.registry.table import COLUMNS

#: Columns that begin with the largest value.
_LARGEST_FIRST = ("started", "age", "updated", "epochs", "knn", "gain", "size")
_ATTRIBUTES = {"age": "started", "epochs": "epochs_done", "knn": "knn_after"}


class RunEntries(Table[RunEntry]):
    """Runs, shown as `lightly runs` does."""

    header = (*(column.title.lower() for column in COLUMNS), "note")

    def cells(self, item: RunEntry) -> Sequence[object]:
        """Return the texts of the table's columns, and the reason of the state."""
        now = datetime.now().astimezone()
        return (*(column.text(item, now) for column in COLUMNS), item.reason)


def listed_runs(
    folder: str | Path,
    *,
    pairs: Sequence[str] = (),
    arguments: dict[str, object] | None = None,
) -> list[RunEntry]:
    """Return the runs below a folder; see `lightly_core.list_runs`.

    Args:
        folder: The folder.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.

    Raises:
        ConfigError: The folder cannot be read, or settings are wrong.
    """
    with loaded_options(RunsConfig, pairs=pairs, arguments=arguments) as config:
        root = Path(folder).expanduser()
        if problem := _problem(root):
            raise ConfigError(problem)
    with progress("Searching for runs", unit="folders") as task:
        found = list(find_runs(root.absolute(), task.advance))
    runs = [
        run
        for run in found
        if config.state in (None, run.state) and config.method in (None, run.method)
    ]
    return RunEntries(sorted_runs(runs, config.sort, reverse=config.reverse))


def sorted_runs(runs: Sequence[RunEntry], key: str, *, reverse: bool = False) -> list[RunEntry]:
    """Sort by a column. Runs without a value come last, equal ones stay in the order of names.

    Args:
        runs: The runs.
        key: A value of `RunsConfig.sort`.
        reverse: Whether the order is reversed; runs without a value still come last.
    """
    attribute = _ATTRIBUTES.get(key, key)
    known = [run for run in runs if getattr(run, attribute) is not None]
    unknown = [run for run in runs if getattr(run, attribute) is None]

    def value(run: RunEntry) -> object:
        found = getattr(run, attribute)
        return datetime.fromisoformat(found) if attribute in ("started", "updated") else found

    known.sort(key=value, reverse=(key in _LARGEST_FIRST) != reverse)  # type: ignore[arg-type]
    return known + unknown


def _problem(root: Path) -> str | None:
    if root.is_dir():
        if os.access(root, os.R_OK | os.X_OK):
            return None
        return f"'{root}' cannot be read: permission denied\n  change its permissions"
    if root.exists():
        return f"'{root}' is a file; expected a folder below which runs are"
    return f"there is no folder '{root}'; expected a folder below which runs are"
