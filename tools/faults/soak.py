"""A long run. Memory, file handles and the time of an epoch must not grow."""

import json
import os
import statistics
import time
from pathlib import Path

import lightning.pytorch as lightning

from tools.faults.runs import Row, pretrain, start, wait

#: Largest increase from the second to the last quarter; for the time, the largest ratio.
MAX_MIB, MAX_HANDLES, MAX_TIME = 16, 0, 1.25


class Recorder(lightning.Callback):
    """Records memory, file handles and CPU time of each epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: list[tuple[float, int, float]] = []
        self._start = time.process_time()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Record the values of the epoch."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        handles = len(os.listdir("/proc/self/fd"))
        now = time.process_time()
        mebibytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        self._values.append((mebibytes, handles, now - self._start))
        self._start = now

    def on_train_end(self, *_: object) -> None:
        """Write all values to the file."""
        self._path.write_text(json.dumps(self._values))


def soak(folder: Path, images: Path, epochs: int) -> list[Row]:
    """Train for many epochs of two steps."""
    folder.mkdir(parents=True)
    log, values_file = folder / "log", folder / "values.json"
    trainer_args = {"callbacks": [Recorder(values_file)], "log_every_n_steps": 1}
    changes = {
        "epochs": epochs,
        "batch_size": 24,
        "transform_args": {"image_size": 16},
        "trainer_args": trainer_args,
        "callbacks": {"model_checkpoint": {"every_n_epochs": 10, "min_seconds_between": 0}},
    }
    number = start(log, pretrain, folder / "out", images, **changes)
    end = wait(number, log, 3600)
    expected = "memory, file handles and CPU time of an epoch do not grow"
    how = f"{epochs} epochs, a checkpoint every ten"
    if end.code != 0:
        return [Row("a long run", how, 1, 1, expected, end.text[-400:])]
    values = json.loads(values_file.read_text())
    quarter = max(1, len(values) // 4)
    early, late = values[quarter : 2 * quarter] or values, values[-quarter:]
    mib = [statistics.median(row[0] for row in part) for part in (early, late)]
    handles = [statistics.median(row[1] for row in part) for part in (early, late)]
    times = [statistics.median(row[2] for row in part) for part in (early, late)]
    fine = (
        mib[1] - mib[0] <= MAX_MIB
        and handles[1] - handles[0] <= MAX_HANDLES
        and times[1] <= MAX_TIME * times[0]
    )
    note = (
        f"second and last quarter: {mib[0]:.0f} and {mib[1]:.0f} MiB, {handles[0]:.0f} and "
        f"{handles[1]:.0f} handles, {1e3 * times[0]:.0f} and {1e3 * times[1]:.0f} ms of CPU an "
        "epoch"
    )
    return [Row("a long run", how, 1, int(not fine), expected, note)]
