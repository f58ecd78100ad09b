"""Measure the rows, print them, and write the page."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.earlier import ROOT, write_files
from benchmarks.measure import BEFORE, Measurements, Places, check_names
from benchmarks.page import line, page
from benchmarks.photos import write_photos
from benchmarks.rows import all_rows


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peer-python", help="interpreter of an environment with the peers")
    parser.add_argument("--before", type=Path, help=f"folder for the files of {BEFORE}")
    parser.add_argument("--repeats", type=int, default=3, help="values of each program")
    parser.add_argument("--only", nargs="+", default=[], help="rows whose names contain a word")
    parser.add_argument("--photos", type=Path, help="folder for the photographs, kept")
    parser.add_argument(
        "--write", action="store_true", help="write the measured rows to docs/performance.md"
    )
    options = parser.parse_args()
    # Programs of the earlier commit run in its folder.
    before = None if options.before is None else options.before.resolve()
    rows = check_names(all_rows(), options.only)
    with tempfile.TemporaryDirectory() as temporary:
        photos = options.photos or Path(temporary)
        write_photos(photos)
        if before is not None:
            write_files(BEFORE, before)
        places = Places(photos, options.peer_python, before)
        measurements = Measurements(places, options.repeats)
        commit, results = _commit(), []
        for row in rows:
            results.append(measurements.measure(row))
            print(line(results[-1], commit), end="", flush=True)
    if options.write:
        names = ("lightly-core", "torch", "torchvision", "pillow", "simplejpeg")
        versions = {name: version(name) for name in names}
        if options.peer_python:
            versions["LightlyTrain"] = _peer_version(options.peer_python)
        file = ROOT / "docs" / "performance.md"
        old = file.read_text(encoding="utf-8") if file.is_file() else ""
        file.write_text(page(all_rows(), results, versions, commit, old), encoding="utf-8")


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip()


def _peer_version(python: str) -> str:
    code = "from importlib.metadata import version; print(version('lightly-train'))"
    command = [python, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
