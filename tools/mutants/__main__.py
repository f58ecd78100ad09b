"""``python -m tools.mutants``: counts the mutants of a sample that the tests catch."""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tools.mutants import coverage_map, report
from tools.mutants.places import Place, sample
from tools.mutants.trial import Bench, Result, preload


def main() -> None:
    """Read the command line, run the trials and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path.cwd(), help="root of the repository")
    parser.add_argument(
        "--folder", type=Path, required=True, help="folder in which results are stored"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=160,
        help="places in the sample; rooms with few places add some",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--room", help="only places of this room, for instance plugins/dino")
    parser.add_argument(
        "--marker",
        default="not (families or processes or exhaustive or gpu)",
        help="tests to run, as in pytest -m",
    )
    parser.add_argument(
        "--again", action="store_true", help="run survivors again, and places without a result"
    )
    arguments = parser.parse_args()
    tree, folder = arguments.tree.resolve(), arguments.folder.resolve()
    places = [
        place
        for place in sample(tree, arguments.count, arguments.seed)
        if arguments.room in (None, place.room)
    ]
    if not (folder / "map").exists():
        coverage_map.measure(tree, folder / "map", arguments.marker)
    try_all(tree, folder, places, again=arguments.again)
    keys = {place.key for place in places}
    results = [found for found in report.read(folder / "results.jsonl") if _key(found) in keys]
    results.sort(key=lambda found: (found["place"]["file"], found["place"]["line"]))
    print(report.survivors(results), report.table(results), sep="\n\n")


def _key(result: dict[str, Any]) -> str:
    return str(result["place"]["key"])


def try_all(tree: Path, folder: Path, places: list[Place], *, again: bool) -> None:
    """Run the places without a result, two at a time, and store each result immediately."""
    file = folder / "results.jsonl"
    known = report.read(file)
    if again:
        known = [found for found in known if found["outcome"] == "caught"]
        file.write_text("".join(f"{json.dumps(found)}\n" for found in known))
    done = {_key(found) for found in known}
    preload(folder)
    fork = multiprocessing.get_context("fork")
    with (
        file.open("a") as lines,
        ProcessPoolExecutor(2, fork, initializer=_start, initargs=(tree, folder)) as pool,
    ):
        # In the order of the keys, so that the first results are a sample of all rooms.
        places = sorted(places, key=lambda place: place.key)
        todo = [pool.submit(_try, place) for place in places if place.key not in done]
        for future in as_completed(todo):
            result = future.result()
            lines.write(result.to_json() + "\n")
            lines.flush()
            print(result, flush=True)


_bench: Bench


def _start(tree: Path, folder: Path) -> None:
    """Create the bench of this process of the pool."""
    global _bench
    known = coverage_map.CoverageMap.read(tree, folder / "map")
    _bench = Bench(tree, Path(tempfile.mkdtemp(prefix="mutants-")), known)
    atexit.register(shutil.rmtree, _bench.folder, ignore_errors=True)


def _try(place: Place) -> Result:
    return _bench.try_mutant(place)


if __name__ == "__main__":
    main()
