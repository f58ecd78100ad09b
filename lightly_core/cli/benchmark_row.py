"""Run one row of a benchmark: ``python -m lightly_core.cli.benchmark_row JOB.json``.

With several devices, Lightning starts the same command again for each. All processes train, the
first one evaluates and writes. With ``--watched`` the standard input is a pipe of the process that
started it. The row saves and stops if that process ends.
"""

from __future__ import annotations

import _thread
import atexit
import gc
import logging
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from lightly_core import api
from lightly_core.benchmarking import state
from lightly_core.benchmarking.files import EXIT_FAILED, EXIT_INTERRUPTED
from lightly_core.benchmarking.measured import read_curves
from lightly_core.benchmarking.process import WATCHED
from lightly_core.config.reading.launch import is_first_process
from lightly_core.data.signals import stop_signals
from lightly_core.engine.lock import held, in_use_message
from lightly_core.engine.memory import peak_process_memory
from lightly_core.engine.result import RunResult
from lightly_core.errors import LightlyError, RunInterrupted
from lightly_core.version import __version__

_SECONDS_BETWEEN_TRIES = 1.0


def main(argv: list[str]) -> int:
    """Train and evaluate one row.

    Args:
        argv: Path of the job: a JSON object with the folder of the row, the plugins to
            block, the seconds to wait for the folder's lock, the settings of the run and of the
            evaluation. Then ``--watched``, or nothing.

    Returns:
        0: done. 1: failed, the reason is in ``failure.json``. 130: interrupted, after saving.
    """
    path = Path(argv[0])
    if WATCHED in argv[1:]:
        _end_with_parent()
    job: dict[str, Any] | None = state.read(path)
    if job is None:
        print(f"error: '{path}' does not exist on {platform.node()}", file=sys.stderr)
        return EXIT_FAILED
    folder = state.RowFolder(Path(job["folder"]))
    try:
        _configure_plugins(job)
        with _held(folder, job.get("patience", 0.0)):
            if is_first_process():
                job = _begun(job, folder)
                state.write_private(path, job)  # read by the processes of other devices
            _train(job, folder)
            if is_first_process():
                _evaluate(job, folder)
                _finish(job, folder)
    except (KeyboardInterrupt, RunInterrupted) as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if not isinstance(error, LightlyError):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        if is_first_process():
            kind = "" if isinstance(error, LightlyError) else f"{type(error).__name__}: "
            state.write(folder.failure, {"error": f"{kind}{error}"})
        return EXIT_FAILED
    return 0


def _configure_plugins(job: dict[str, Any]) -> None:
    from lightly_core.plugins.discovery import configure

    configure(block=job["blocked_plugins"])


def _end_with_parent() -> None:
    """Save and stop when the process ends that holds the other end of the standard input.

    A cluster may kill that process alone, and run the row again on another machine.
    """
    if hasattr(signal, "pthread_sigmask"):  # inherited from programs that block Ctrl-C
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop_signals())

    def watch() -> None:
        while os.read(0, 4096):
            pass
        print("the process that started this row has ended", file=sys.stderr, flush=True)
        _thread.interrupt_main()

    threading.Thread(target=watch, name="lightly-watch-parent", daemon=True).start()


@contextmanager
def _held(folder: state.RowFolder, patience: float) -> Iterator[None]:
    """Lock the row against a second process, such as that of a suite started twice.

    Args:
        folder: Files of the row.
        patience: Seconds to wait for a process of the row that still saves, or whose machine was
            lost. Only the last update of its lock shows that.
    """
    if not is_first_process():
        yield
        return
    until, reported = time.monotonic() + patience, False
    while time.monotonic() < until and (problem := _in_use(folder)):
        if not reported:
            print(f"waiting for {patience:.0f} s at most: {problem}", flush=True)
            reported = True
        time.sleep(_SECONDS_BETWEEN_TRIES)
    with held(folder.root):
        yield


def _in_use(folder: state.RowFolder) -> str | None:
    return in_use_message(folder.root) or in_use_message(folder.run)


# --------------------------------------------------------------------------- training


def _begun(job: dict[str, Any], folder: state.RowFolder) -> dict[str, Any]:
    """Return the job with the setting by which its run is resumed, or starts again."""
    run = {k: v for k, v in job["run"].items() if k not in ("resume_interrupted", "overwrite")}
    if folder.interrupted:
        run["resume_interrupted"] = True
    elif not folder.trained.is_file():
        folder.sessions.unlink(missing_ok=True)  # of steps that run again
        if folder.run.exists():
            run["overwrite"] = True
    return {**job, "run": run}


def _train(job: dict[str, Any], folder: state.RowFolder) -> None:
    if folder.trained.is_file():
        return
    started = time.perf_counter()
    try:
        result = api.pretrain(**job["run"])
    finally:
        if is_first_process():
            _note_session(folder, time.perf_counter() - started)
    if is_first_process():
        _note_training(folder, result)


def _note_session(folder: state.RowFolder, seconds: float) -> None:
    session = {
        "seconds": seconds,
        "device_memory": _device_memory(),
        "process_memory": peak_process_memory(),
    }
    state.write(folder.sessions, [*(state.read(folder.sessions) or []), session])


def _note_training(folder: state.RowFolder, result: RunResult) -> None:
    config = state.read(folder.run / "config.json")
    derived = config["derived"]
    sessions = state.read(folder.sessions)
    notes = [] if result.collapse is None else [result.collapse]
    if len(sessions) > 1:
        notes.append(f"trained in {len(sessions)} sessions, whose times are added up")
    content = {
        "epochs": config["epochs"],
        "batch_size": derived["effective_batch_size"],
        "steps": derived["total_steps"],
        "accelerator": config["accelerator"],
        "precision": config["precision"],
        "world_size": derived["world_size"],
        "seconds": sum(session["seconds"] for session in sessions),
        "device_memory": _maximum(sessions, "device_memory"),
        "process_memory": _maximum(sessions, "process_memory"),
        "curves": read_curves(folder.run / "metrics.jsonl", derived["steps_per_epoch"]),
        "knn_images": result.num_query,
        "num_skipped": result.num_skipped,
        "notes": notes,
    }
    state.write(folder.trained, content)


def _maximum(sessions: list[dict[str, Any]], key: str) -> int | None:
    known = [session[key] for session in sessions if session[key] is not None]
    return max(known, default=None)


def _device_memory() -> int | None:
    """Return the peak memory of this process's tensors in bytes, the largest of all GPUs."""
    import torch

    if not torch.cuda.is_available():
        return None
    devices = range(torch.cuda.device_count())
    # Zero: the row ran on another device, such as the CPU of a machine that has both.
    return max(torch.cuda.max_memory_allocated(device) for device in devices) or None


# --------------------------------------------------------------------------- evaluation


def _evaluate(job: dict[str, Any], folder: state.RowFolder) -> None:
    if job["evaluate"] is None or folder.evaluation.is_file():
        return
    _leave_process_group()
    api.evaluate(
        **job["evaluate"], model=str(folder.run), out=str(folder.evaluation), overwrite=True
    )


def _leave_process_group() -> None:
    """Free the memory of training, and leave the group: the other processes have ended."""
    import torch

    gc.collect()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _finish(job: dict[str, Any], folder: state.RowFolder) -> None:
    evaluation = state.read(folder.evaluation) if job["evaluate"] is not None else None
    content = {
        **state.read(folder.settings),
        "versions": {"lightly_core": __version__},
        "trained": state.read(folder.trained),
        "evaluation": evaluation["results"] if evaluation is not None else [],
    }
    state.write(folder.result, content)
    folder.failure.unlink(missing_ok=True)


# --------------------------------------------------------------------------- the end


def end_with(run: Callable[[], int]) -> None:
    """Run, and end the process with the exit code that is returned.

    The process ends at once, because unloading torch at the usual exit takes seconds, but after the
    exit handlers that are registered from here on, such as those of torch, loggers and pools.
    """
    code = EXIT_FAILED  # if it raises
    atexit.register(lambda: _end(code))  # registered first, so called last
    code = run()


def _end(code: int) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    end_with(lambda: main(sys.argv[1:]))
