"""Small runs with a remote logger, and what a server has of them."""

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from attrs import define

import lightly_core
from lightly_core.engine.remote.logger import RemoteLogger
from lightly_core.engine.remote.records import Record
from lightly_core.testing import TinyConv

#: Metrics that depend on the clock or the machine.
MEASURED = ("images_per_second", "data_wait", "memory/")
EPOCHS = 3


@define
class Outcome:
    """What a run did.

    Attributes:
        folder: The run folder.
        seconds: Wall time of the run.
        training: Seconds from the first to the last logged step.
        blocked: Seconds that the run spent in calls of the logger, without its end.
        warnings: Lines of warnings that the user saw.
        rows: Lines of metrics.jsonl.
        unsent: Lines that were not sent at the end.
    """

    folder: Path
    seconds: float
    training: float
    blocked: float
    warnings: list[str]
    rows: int
    unsent: int


class At(lightning.Callback):
    """Calls a function after a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    def on_train_batch_end(self, trainer: lightning.Trainer, *arguments: object) -> None:
        """Call it once."""
        if trainer.global_step == self.step:
            self.step = -1
            self.action()


def run_id_of(out: Path) -> str:
    """Return the identifier of a run on the MLflow server."""
    return str(json.loads((out / "remote.mlflow.json").read_text())["run_id"])


def unsent_lines(out: Path) -> int:
    """Return the number of records of a run that were not sent."""
    return sum(1 for file in out.glob("unsent.*.jsonl") for _ in file.open())


def run(
    out: Path, logger: dict[str, Any] | None, *callbacks: lightning.Callback, resume: bool = False
) -> Outcome:
    """Train a tiny network for a few seconds, with a remote logger or without."""
    clock = _Clock()
    printed = io.StringIO()
    torch.manual_seed(0)
    begun = time.monotonic()
    with contextlib.redirect_stdout(printed), clock.measuring():
        lightly_core.pretrain(
            out=out,
            data="builtin:digits",
            model=TinyConv(),
            method="simclr",
            epochs=EPOCHS,
            batch_size=64,
            accelerator="cpu",
            transform_args={"image_size": 16},
            callbacks={"knn": None},
            loggers=logger or {},
            trainer_args={"log_every_n_steps": 1, "callbacks": [*callbacks, clock]},
            resume_interrupted=resume,
        )
    seconds = time.monotonic() - begun
    return Outcome(
        folder=out,
        seconds=seconds,
        training=clock.last - clock.first,
        blocked=clock.blocked,
        warnings=[w for w in printed.getvalue().splitlines() if w.startswith("warning: Logger")],
        rows=sum(1 for _ in (out / "metrics.jsonl").open()),
        unsent=unsent_lines(out),
    )


class _Clock(lightning.Callback):
    first = last = blocked = 0.0

    def on_train_batch_end(self, *arguments: object) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Add up the time in `RemoteLogger.put`, which every call of a run ends in."""
        put = RemoteLogger.put

        def measured(logger: RemoteLogger, record: Record) -> None:
            start = time.perf_counter()
            put(logger, record)
            self.blocked += time.perf_counter() - start

        RemoteLogger.put = measured  # type: ignore[method-assign]
        try:
            yield
        finally:
            RemoteLogger.put = put  # type: ignore[method-assign]


def in_file(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the metrics of metrics.jsonl, by name, without those that are measured."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in (folder / "metrics.jsonl").open():
        row = json.loads(line)
        step = row.pop("step")
        for name, value in row.items():
            if not name.startswith(MEASURED):
                found.setdefault(name, []).append((step, value))
    return found


def on_server(uri: str, experiment: str) -> dict[str, Any]:
    """Return all that a server has of the one run of an experiment, without what is measured."""
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None, f"there is no experiment '{experiment}'"
    (entry,) = client.search_runs([found.experiment_id])
    run_id = entry.info.run_id
    metrics = {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run_id, name))
        for name in entry.data.metrics
        if not name.startswith(MEASURED)
    }
    pending, files = [""], []
    while pending:
        for file in client.list_artifacts(run_id, pending.pop()):
            pending.append(file.path) if file.is_dir else files.append((file.path, file.file_size))
    own = ("out", "loggers.", "resume_interrupted", "trainer_args.callbacks")
    params = {name: v for name, v in entry.data.params.items() if not name.startswith(own)}
    varying = ("config.json", "report.html")  # they hold the path of the run, and times
    settings = sorted(name for name, _ in files if name in varying)
    sizes = sorted((name, size) for name, size in files if name not in varying)
    return {
        "status": entry.info.status,
        "metrics": metrics,
        "params": params,
        "files": [*settings, *sizes],
    }
