"""``python -m tools.report``: check reports in a browser; ``--shots FOLDER`` keeps pictures."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import lightly_core
from tools.browser import Page, chromium
from tools.report.checks import check_all
from tools.report.runs import make_runs

#: Report, width of the window, whether the system prefers dark, and name of the picture.
_VIEWS = (
    ("good", 1280, False, "good"),
    ("collapsed", 1280, False, "collapsed"),
    ("two", 1280, False, "two"),
    ("good", 400, False, "phone"),
    ("good", 1280, True, "dark"),
    ("hostile", 400, False, "hostile"),
)


def main() -> int:
    """Train, write the reports, check them, and return 1 if there are problems."""
    parser = argparse.ArgumentParser(prog="python -m tools.report", description=__doc__)
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    parser.add_argument("--runs", type=Path, help="folder of earlier runs, or for new ones")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.runs or Path(temporary)
        runs = make_runs(folder)
        results = {name: lightly_core.report(run).path for name, run in runs.items()}
        two = lightly_core.report(runs["good"], runs["collapsed"], out=folder / "two.html")
        problems = check(results | {"two": two.path}, arguments.shots)
    for problem in problems:
        print(problem)
    seconds = time.monotonic() - started
    print(f"{len(_VIEWS)} pages, {len(problems)} problems, {seconds:.0f} s")
    return bool(problems)


def check(reports: dict[str, Path], shots: Path | None) -> list[str]:
    """Open every view and return the problems."""
    problems = []
    script = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
    with chromium() as driver:
        for name, width, dark, picture in _VIEWS:
            path = reports[name]
            shown = f"{path.parent.name}/{path.name}"
            page = Page(driver, path.as_uri(), shown, width, dark, script)
            problems += check_all(page)
            if shots is not None:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(shots / f"{picture}.png")
    return problems


if __name__ == "__main__":
    raise SystemExit(main())
