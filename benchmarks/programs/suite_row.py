"""CPU seconds of a suite's row from the start of its process to its first step.

python suite_row.py. The process is found by its log, its first step by its metrics.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import lightly_core
from benchmarks.programs.training import has_report

NUM_ROWS = 3
SUITE = """
name = "start"
out = "{folder}/out"
data.train = "builtin:digits"

[run]
model = "timm/test_resnet"
num_workers = 0
batch_size = 64
epochs = 1
accelerator = "cpu"
transform_args.image_size = 16
trainer_args.log_every_n_steps = 1
callbacks.signals = false
callbacks.knn = false
{report}

[evaluate]
knn = {{ k = 5 }}
"""
ROW = """
[[rows]]
name = "row{number}"
method = "simclr"
seed = {number}
"""


def first_step(folder: Path) -> float | None:
    """Return the CPU seconds of a row's process if it has logged its first step."""
    try:
        logged = (folder / "run/metrics.jsonl").read_text()
    except OSError:
        return None
    return cpu_seconds(folder / "worker.log") if '"train_loss"' in logged else None


def cpu_seconds(log: Path) -> float | None:
    """Return the CPU seconds of the process whose standard output is a file."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "fd/1") == str(log):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def main() -> None:
    """Run the suite, and print the median of its rows."""
    found: dict[str, float] = {}
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        file = folder / "suite.toml"
        rows = "".join(ROW.format(number=number) for number in range(NUM_ROWS))
        report = "callbacks.report = false" if has_report() else ""
        file.write_text(SUITE.format(folder=folder, report=report) + rows)

        def watch() -> None:
            while not ended.is_set() and len(found) < NUM_ROWS:
                name = f"row{len(found)}"
                if (seconds := first_step(folder / "out" / name)) is not None:
                    found[name] = seconds
                time.sleep(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            lightly_core.benchmark(str(file))
        finally:
            ended.set()
            watcher.join()
    print(json.dumps({"value": statistics.median(found.values())}))


if __name__ == "__main__":
    main()
