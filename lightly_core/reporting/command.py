"""Reports of finished runs: `lightly report` and `lightly_core.report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightly_core.errors import ConfigError
from lightly_core.places import place_problem
from lightly_core.reporting.page import BRAND, Report, write_report
from lightly_core.reporting.reading import read_run
from lightly_core.reporting.record import REPORT_FILE


def report_runs(folders: Sequence[str | Path], out: str | Path | None = None) -> Report:
    """Write the report of one or several runs.

    Args:
        folders: Run folders.
        out: The HTML file; None: `report.html` in the run folder, or for several runs in the
            current folder.

    Raises:
        ConfigError: There is no folder, one is no run folder, or the file cannot be written.
            Nothing was written.
    """
    if not folders:
        raise ConfigError("expected at least one run folder, got none")
    runs, problems = [], []
    for folder in dict.fromkeys(str(folder) for folder in folders):
        try:
            runs.append(read_run(folder))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    path = _path(runs[0].folder if len(runs) == 1 else Path.cwd(), out)
    return write_report(runs, path)


def _path(default: Path, out: str | Path | None) -> Path:
    """Return the path of the report. An existing file is replaced only if it is a report."""
    path = default / REPORT_FILE if out is None else Path(out).expanduser().absolute()
    if path.is_dir():
        path /= REPORT_FILE
    if path.suffix not in (".html", ".htm"):
        raise ConfigError(f"out: expected a file that ends in .html, or a folder, got '{out}'")
    if problem := place_problem(path):
        raise ConfigError(f"out: {problem}; choose another file")
    if path.is_file() and not _is_report(path):
        raise ConfigError(
            f"out: '{path}' exists and is not a report; choose another file, or remove it"
        )
    return path


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return BRAND.encode() in file.read(4096)
