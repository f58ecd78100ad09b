"""Runs the commands on all files together, and checks their results, output and memory."""

from __future__ import annotations

import csv
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lightly_core.data.names import read_back
from tools.hostile.case import IGNORED, Case

#: Checks the output and files of a command: returns counts in words, and the problems.
Check: TypeAlias = "Callable[[str], tuple[str, list[str]]]"

#: The two class folders to which the files are distributed.
FOLDERS = ("first", "second")
_MOST_SECONDS = 600
_MOST_MEMORY = 3 << 20  # KiB of one process
_NOISE = ("TIFFFetch", "TIFFReadDirectory", "Fax4Decode", "ZIPDecode", "UserWarning", "Traceback")
_FORMULA = tuple("=+-@\t\r")


@dataclass(frozen=True)
class Step:
    """The result of one command.

    Attributes:
        name: The command.
        seconds: Duration.
        memory: Peak memory of a process, in MiB.
        counts: Numbers of read and listed files, in words.
        problems: The problems.
    """

    name: str
    seconds: float
    memory: int
    counts: str
    problems: tuple[str, ...]


def deal(cases: Sequence[Case], root: bytes) -> dict[str, Case]:
    """Write the files into two class folders. Links are in the same folder as their targets.

    Returns:
        Cases by name of the file, relative to `root`.
    """
    names = {}
    for folder in FOLDERS:
        os.makedirs(os.path.join(root, folder.encode()))
    for number, case in enumerate(cases):
        folder = FOLDERS[0] if case.kind == "links" else FOLDERS[number % 2]
        case.write(os.path.join(root, folder.encode()))
        names[f"{folder}/{os.fsdecode(case.name)}"] = case
    return names


def run_commands(root: Path, out: Path, expected: dict[str, bool]) -> Iterator[Step]:
    """Train, embed and evaluate.

    Args:
        root: Folder of the images.
        out: An empty folder for results.
        expected: Whether an image can be read with three channels, by name.
    """
    listed = {name for name, readable in expected.items() if not readable}
    common = ["accelerator=cpu", "num_workers=2"]
    run = [f"out={out}/run", f"data={root}", "model=torchvision/resnet18", "method=simclr"]
    run += ["epochs=1", "batch_size=64", "max_skipped=1", "transform_args.image_size=32"]
    run += ["callbacks.knn=none", "callbacks.signals.num_images=64", *common]
    yield _step("run", run, lambda text: _check_run(out / "run", listed))
    embed = [f"model={out}/run", f"data={root}", f"out={out}/features.csv", "max_skipped=1"]
    table = out / "features.csv"
    yield _step("embed", [*embed, *common], lambda text: _check_embed(table, expected))
    evaluate = [f"model={out}/run", f"data={root}", f"out={out}/results.json", "linear=false"]
    yield _step("evaluate", [*evaluate, *common], lambda text: _check_evaluate(text, expected))


def _step(name: str, arguments: Sequence[str], check: Check) -> Step:
    """Run one command and check its output and files."""
    started = time.monotonic()
    command = [sys.executable, "-m", "lightly_core.cli", name, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Step(name, _MOST_SECONDS, 0, "", (f"took more than {_MOST_SECONDS} s",))
    text = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    problems = [] if done.returncode == 0 else [f"exit code {done.returncode}: {text[-600:]}"]
    problems += _harmful("the terminal", text)
    problems += [f"the terminal shows '{word}'" for word in _NOISE if word in text]
    if text.count("files skipped:") != 1:
        problems.append("the terminal does not report the number of skipped files exactly once")
    if memory > _MOST_MEMORY:
        problems.append(f"took {memory >> 10} MiB, more than {_MOST_MEMORY >> 10}")
    counts = ""
    if not problems:
        counts, more = check(text)
        problems += more
    return Step(name, time.monotonic() - started, memory >> 10, counts, tuple(problems))


def _harmful(where: str, text: str) -> list[str]:
    found = sorted({letter for letter in text if not letter.isprintable()} - set("\n\t　\xa0"))
    return [f"{where} got {found}"] if found else []


def _check_run(folder: Path, listed: set[str]) -> tuple[str, list[str]]:
    log = (folder / "train.log").read_text(encoding="utf-8")
    problems = _harmful("train.log", log)
    if "files skipped:" not in log:
        problems.append("train.log does not report skipped files")
    kinds = log.count("this kind of message is written once")
    skipped = list(_rows(folder / "skipped_images.csv"))
    problems += _compare("skipped_images.csv", {name for _, name, _ in skipped} - listed, set())
    problems += [f"no reason for {name!r}" for _, name, reason in skipped if not reason]
    counts = f"{len(skipped)} replaced, {kinds} kinds of library messages in train.log"
    return counts, problems


def _check_embed(table: Path, expected: dict[str, bool]) -> tuple[str, list[str]]:
    rows = list(_rows(table))
    names = [row[0] for row in rows]
    skipped = [row[1] for row in _rows(table.with_name(f"{table.name}.skipped.csv"))]
    problems = _compare("features.csv", set(names), {name for name in expected if expected[name]})
    wanted = {name for name in expected if not expected[name]}
    problems += _compare("features.csv.skipped.csv", set(skipped), wanted)
    if len(names) + len(skipped) != len(expected):
        problems.append(f"{len(names)} + {len(skipped)} rows for {len(expected)} images")
    return f"{len(names)} embedded, {len(skipped)} listed", problems


def _check_evaluate(text: str, expected: dict[str, bool]) -> tuple[str, list[str]]:
    listed = sum(not readable for readable in expected.values())
    reported = re.search(r"(\d+) images cannot be read", text)
    found = int(reported[1]) if reported else 0
    problems = [] if found == listed else [f"{found} unreadable images reported, not {listed}"]
    return f"{len(expected) - listed} read, {found} counted as unreadable", problems


def _rows(file: Path) -> Iterator[list[str]]:
    """Yield the rows of a table with the original names. Fail if a cell is a formula."""
    with open(file, encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        next(reader)
        for row in reader:
            texts = [cell for cell in row if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell)]
            assert not any(cell.startswith(_FORMULA) for cell in texts), row
            yield [read_back(cell) for cell in row[:3]]


def _compare(where: str, found: set[str], expected: set[str]) -> list[str]:
    """Return problems for the names that are in only one of the sets."""
    problems = [f"{where} has {name!r}" for name in sorted(found - expected)[:5]]
    return problems + [f"{where} lacks {name!r}" for name in sorted(expected - found)[:5]]


def counted(names: dict[str, Case]) -> dict[str, Case]:
    """Return the cases that count as images."""
    return {name: case for name, case in names.items() if case.must != IGNORED}
