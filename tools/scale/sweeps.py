"""A sweep that goes on after it was interrupted and killed, and one that RankMe prunes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lightly_core.engine.lock import owner_of
from tools.scale.check import Check

_SUITE = """
name = "sweep"
evaluate = false
data.train = "builtin:digits"

[run]
model = "timm/test_resnet"
epochs = 3
num_workers = 0
accelerator = "cpu"
optim = "adamw"
optim_args.lr_scale_method = "none"
transform_args.image_size = 16
loggers.tensorboard = false
callbacks.report = false
@callbacks@

[[rows]]
name = "search"
method = "simclr"

[rows.sweep]
trials = 6
startup_trials = 2
metric = "@metric@"

[rows.sweep.space]
"optim_args.lr" = { low = 1e-6, high = 1e-1, log = true }
batch_size = [128, 256]
"""
#: What the runs measure after each epoch, by the metric of the sweep.
_CALLBACKS = {
    "knn/top1": "callbacks.knn.every_n_epochs = 1\ncallbacks.signals = false",
    "rank/rankme": "callbacks.knn = false\ncallbacks.signals.every_n_epochs = 1",
}
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
_MOST_SECONDS = 1200.0


def same_trials(folder: Path) -> str:
    """Stop a sweep by Ctrl-C and by SIGKILL, and compare it with an uninterrupted one."""
    _write_suite(folder, "knn/top1")
    whole, parts = folder / "whole/search", folder / "parts/search"
    _finish(folder, "whole")
    _stop_when(folder, signal.SIGINT, lambda: _has(parts / "trial-001/run/metrics.jsonl"))
    _stop_when(folder, signal.SIGKILL, lambda: _has(parts / "trial-003/run/metrics.jsonl"))
    _wait(lambda: owner_of(parts / "trial-003") is None)  # its process goes on alone
    _finish(folder, "parts")
    expected, found = _files(whole), _files(parts)
    if found != expected:
        different = [name for name in expected if found.get(name) != expected[name]]
        raise AssertionError(f"different after the interruptions: {', '.join(different)}")
    return f"6 trials, {_pruned(found)} pruned, the same after Ctrl-C and SIGKILL"


def pruned_by_rankme(folder: Path) -> str:
    """Search for the highest RankMe of the features, which needs no labels."""
    _write_suite(folder, "rank/rankme")
    _finish(folder, "whole")
    return f"6 trials, {_pruned(_files(folder / 'whole/search'))} pruned"


def _write_suite(folder: Path, metric: str) -> None:
    text = _SUITE.replace("@metric@", metric).replace("@callbacks@", _CALLBACKS[metric])
    (folder / "suite.toml").write_text(text)


def _pruned(trials: dict[str, str]) -> int:
    """Return how many trials were pruned, some of six but not all."""
    pruned = sum('"state": "pruned"' in text for text in trials.values())
    if len(trials) != 6 or not 0 < pruned < 5:
        raise AssertionError(f"{pruned} of {len(trials)} trials were pruned")
    return pruned


def _command(folder: Path, out: str) -> list[str]:
    words = ("-m", "lightly_core.cli", "benchmark", "suite.toml", f"out={folder / out}")
    return [sys.executable, *words]


def _finish(folder: Path, out: str) -> None:
    subprocess.run(
        _command(folder, out),
        cwd=folder,
        env=_ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        timeout=_MOST_SECONDS,
        check=True,
    )


def _stop_when(folder: Path, number: signal.Signals, reached: Callable[[], bool]) -> None:
    process = subprocess.Popen(
        _command(folder, "parts"), cwd=folder, env=_ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    _wait(lambda: reached() or process.poll() is not None)
    if process.poll() is not None:
        raise AssertionError(f"the sweep ended with {process.returncode} before {number.name}")
    process.send_signal(number)
    process.wait(_MOST_SECONDS)


def _has(file: Path) -> bool:
    """Return whether a run has measured an epoch."""
    return file.is_file() and file.read_text().count("knn/top1") > 1


def _wait(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + _MOST_SECONDS
    while not reached():
        if time.monotonic() > until:
            raise AssertionError("the sweep did not come so far")
        time.sleep(0.05)


def _files(sweep: Path) -> dict[str, str]:
    """Return what is known of each trial, by name of its folder."""
    return {path.parent.name: path.read_text() for path in sweep.glob("trial-*/trial.json")}


CHECKS = (
    Check("a sweep is interrupted and killed", same_trials),
    Check("a sweep that RankMe prunes", pruned_by_rankme),
)
