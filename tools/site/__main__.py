"""``python -m tools.site``: build the documentation site and check it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tools.site.build import build
from tools.site.files import check_files
from tools.site.stage import Stage

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Build, check, and return 1 if there are problems."""
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/site"), help="folder of the site")
    parser.add_argument("--no-browser", action="store_true", help="do not open it in Chromium")
    parser.add_argument("--shots", type=Path, help="folder for pictures of some pages")
    arguments = parser.parse_args()
    started = time.monotonic()
    source, html = arguments.out / "source", arguments.out / "html"
    Stage(_ROOT, source).write()
    if build(source, html):
        return 1
    problems = check_files(html)
    if not arguments.no_browser:
        from tools.site.looks import check_looks  # selenium is needed here only

        problems += check_looks(html, arguments.shots)
    for problem in problems:
        print(problem)
    number = len(list(html.rglob("*.html")))
    print(f"{html}: {number} pages, {len(problems)} problems, {time.monotonic() - started:.0f} s")
    return bool(problems)


if __name__ == "__main__":
    raise SystemExit(main())
