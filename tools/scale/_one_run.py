"""One process of a run: ``python -m tools.scale._one_run JSON``, also below a launcher.

The JSON has the arguments of `tools.faults.runs.settings_of`, ``fault``: what one process does in a
step, and ``seen``: whether to write which images each step had.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, LambdaCallback

import lightly_core
from lightly_core.errors import LightlyError, RunInterrupted
from tools.faults.runs import settings_of


def main() -> None:
    """Run, and end with the exit code of the command line."""
    try:
        one_run(sys.argv[1])
    except RunInterrupted:
        raise
    except LightlyError as error:
        raise SystemExit(f"error: {error}") from None


def one_run(argument: str) -> None:
    """Run in this process, with the settings of a JSON text."""
    torch.set_num_threads(1)
    given: dict[str, Any] = json.loads(argument)
    fault, folder = given.pop("fault", None), Path(given["out"]).parent
    callbacks = [record_images(folder)] if given.pop("seen", False) else []
    if fault is not None:
        callbacks.append(cause(**fault, folder=folder))
    if callbacks:
        given.setdefault("trainer_args", {})["callbacks"] = callbacks
    given.setdefault("model", _model())
    out, images = Path(given.pop("out")), Path(given.pop("images"))
    lightly_core.pretrain(**settings_of(out, images, given.pop("method"), **given))


def cause(kind: str, step: int, folder: Path, rank: int | None = None) -> Callback:
    """Return a callback that does something in one process, once; steps count from 1.

    Args:
        kind: ``kill``, ``stop``, ``raise``, ``hang``, ``pause``: to be stopped for `PAUSE` seconds,
            or the name of a signal.
        step: Step in which it does so.
        folder: Folder in which the time is noted, in `NOTE`.
        rank: Process that does it; None: all.
    """

    def act(trainer: Any, *_: object) -> None:  # noqa: ANN401 - of Lightning
        if rank not in (None, trainer.global_rank) or trainer.global_step != step - 1:
            return
        (folder / NOTE).write_text(str(time.time()))
        if kind == "raise":
            raise ValueError("this process fails on purpose")
        if kind == "hang":
            wait_for_ever()
        if kind == "pause":
            seconds = PAUSE + 2 * trainer.global_rank  # they do not go on at the same time
            subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"])
        stop = getattr(signal, "SIGSTOP", None)
        names = {"kill": signal.SIGKILL, "stop": stop, "pause": stop}
        os.kill(os.getpid(), names.get(kind) or getattr(signal, kind))

    return LambdaCallback(on_train_batch_start=act)


def record_images(folder: Path) -> Callback:
    """Return a callback that adds a line for each step to ``seen-RANK.jsonl``."""

    def record(trainer: Any, module: object, outputs: object, batch: Any, index: int) -> None:  # noqa: ANN401
        row = {"step": trainer.global_step, "images": batch.indices.tolist()}
        with (folder / f"seen-{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    return LambdaCallback(on_train_batch_end=record)


def wait_for_ever() -> None:
    """Hang, as a process does that waits for a disk."""
    while True:
        time.sleep(1)


def _model() -> torch.nn.Module:
    from short_run import TinyWrapper  # tests/helpers, which `tools.faults.runs` adds to the path

    torch.manual_seed(0)
    return TinyWrapper(dropout=0.0)


#: File in which a process notes when it fails, in seconds since 1970.
NOTE = "failed_at"
#: Seconds for which ``pause`` stops a process.
PAUSE = 20

if __name__ == "__main__":
    main()
