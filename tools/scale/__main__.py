"""Run the checks and print a table: name, result, figure."""

import argparse
import importlib
import pkgutil
import shutil
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import tools.scale
from tools.scale.check import Check

_HEADS = ("check", "result", "figure")
_MOST_CHARACTERS = 300


def main() -> int:
    """Run the checks, print the table, and return 1 if any has failed."""
    arguments = _parser().parse_args()
    work = Path(tempfile.mkdtemp(prefix="scale-", dir=arguments.folder))
    rows = []
    for name, check in chosen(all_checks(), arguments.only):
        begun = time.monotonic()
        cells = run(name, check, work / "check")
        print(" | ".join(cells), f"({time.monotonic() - begun:.0f} s)", flush=True)
        rows.append(cells)
    shutil.rmtree(work, ignore_errors=True)
    failed = sum(result != "as expected" for _, result, _ in rows)
    print(f"\n{len(rows)} checks, {failed} failed")
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(rows), encoding="utf-8")
    return int(failed > 0 or not rows)


def all_checks() -> list[tuple[str, Check]]:
    """Return the checks of all modules, each with the name of its module."""
    found = []
    for module in sorted(pkgutil.iter_modules(tools.scale.__path__), key=lambda one: one.name):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"tools.scale.{module.name}")
            found += [(module.name, check) for check in getattr(loaded, "CHECKS", ())]
    return found


def chosen(checks: Sequence[tuple[str, Check]], words: Sequence[str]) -> list[tuple[str, Check]]:
    """Return the checks whose name, with that of their module, has one of the words."""
    return [
        (name, check)
        for name, check in checks
        if not words or any(word.lower() in f"{name}: {check.name}".lower() for word in words)
    ]


def run(name: str, check: Check, folder: Path) -> tuple[str, str, str]:
    """Run a check in a folder that exists during the check only; return its cells."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        result, figure = "as expected", check.function(folder)
    except Exception as error:
        traceback.print_exc()
        result, figure = "failed", f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
    shutil.rmtree(folder, ignore_errors=True)
    return f"{name}: {check.name}", result, " ".join(figure.split())


def markdown(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|" + "---|" * len(_HEADS)]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.scale", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="checks whose name has one of these"
    )
    parser.add_argument("--markdown", type=Path, help="file to which the table is written")
    parser.add_argument("--folder", type=Path, help="working folder; a temporary folder by default")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
