"""Records a run and writes its report. An error in it never ends a run."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import time
from dataclasses import replace
from datetime import datetime

import numpy as np
import torch

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.engine.callbacks.report import ReportCallback
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.result import RunResult
from lightly_core.engine.start import has_trained
from lightly_core.engine.watching import Watchers, eval_transform
from lightly_core.evaluation.sample import ImageSample
from lightly_core.plugins.hookspecs import RunStatus
from lightly_core.reporting.capture import Capture
from lightly_core.reporting.page import write_report
from lightly_core.reporting.reading import read_run
from lightly_core.reporting.record import REPORT_FILE, RunRecord
from lightly_core.reporting.settings import auto_names, given_names
from lightly_core.version import __version__

logger = logging.getLogger(__name__)

_PACKAGES = ("torch", "lightning", "numpy", "pillow")


def report_callbacks(
    resolved: Resolved, source: ImageSource, val_source: ImageSource | None, folder: RunFolder
) -> list[ReportCallback]:
    """Return the callback that takes the pictures of the report; none if the report is off.

    The images are a random sample of `val_data`, or of the training images without it.
    """
    args = resolved.callbacks.report
    if args is None:
        return []
    chosen = source if val_source is None else val_source
    order = np.random.default_rng(int(resolved.run.seed or 0)).permutation(len(chosen))
    indices = order[: int(args.num_images)].tolist()
    sample = ImageSample(chosen, indices, eval_transform(resolved))
    capture = Capture(sample, folder.root, from_val_data=val_source is not None)
    return [ReportCallback(capture if indices else None, folder.root)]


class RunReport:
    """Writes `report_data/run.json` and `report.html` of a run, on the first process.

    Args:
        settings: Settings of the run, with "auto".
        resolved: The same without "auto".
        folder: The run folder.
        resumed: Whether the run continues an earlier one in the folder.
    """

    def __init__(
        self, settings: Settings, resolved: Resolved, folder: RunFolder, *, resumed: bool
    ) -> None:
        args = resolved.callbacks.report
        self._on = args is not None
        self._umap = args is not None and args.umap
        self._folder = folder
        self._resumed = resumed
        self._began = time.monotonic()
        self._record = RunRecord(
            status="running",
            started=datetime.now().astimezone().isoformat(timespec="seconds"),
            num_images=resolved.dataset_size,
            auto=auto_names(settings),
            given=given_names(settings),
            versions=_versions(resolved),
            machine=_machine(resolved),
        )

    def begin(self) -> None:
        """Record the start, so that a killed run can be reported."""
        if not self._on:
            return
        try:
            if self._resumed:
                self._record = self._record.continued(self._folder.root)
            self._record.write(self._folder.root)
        except Exception as error:
            self._give_up(error)

    def finish(
        self,
        status: RunStatus,
        error: BaseException | None,
        result: RunResult | None,
        watchers: Watchers,
        loggers: Fanout,
    ) -> None:
        """Record the end, write the report and pass it to the loggers.

        Args:
            status: How the run has ended.
            error: Why, if it has not finished.
            result: Result of the run; None if it has not finished.
            watchers: The callbacks that measure the features.
            loggers: They get the report as a file of the run.
        """
        if not self._on or not self._worth_it(status):
            return
        try:
            self._ended(status, error, result, watchers, loggers).write(self._folder.root)
            path = self._folder.root / REPORT_FILE
            write_report([read_run(self._folder.root)], path, umap=self._umap)
        except Exception as failure:
            self._give_up(failure)
            return
        loggers.log_artifact(path)
        logger.info("Report: %s", path)

    def _worth_it(self, status: RunStatus) -> bool:
        """Return whether the run has trained. The folder of any other is removed."""
        trained = has_trained(self._folder.metrics) or self._folder.last_checkpoint.exists()
        return status == "finished" or trained

    def _ended(
        self,
        status: RunStatus,
        error: BaseException | None,
        result: RunResult | None,
        watchers: Watchers,
        loggers: Fanout,
    ) -> RunRecord:
        knn, signals = watchers.knn, watchers.signals
        measured = {name for name, step in loggers.latest_step.items() if step > 0}
        collapse = signals.collapse if signals is not None else None
        record = replace(
            self._record,
            status=status,
            error=None if error is None else str(error) or type(error).__name__,
            seconds=self._record.seconds + time.monotonic() - self._began,
            steps=max(loggers.latest_step.values(), default=0),
            num_query=knn.num_query if knn is not None else None,
            knn_before=knn.before if knn is not None else None,
            knn_after=knn.after if knn is not None and "knn/top1" in measured else None,
            collapse=collapse.text if collapse is not None else None,
            signals="embedding/std" in measured,
        )
        if result is None:
            return record
        root = self._folder.root
        exported = [*result.exported, *result.exported_best]
        return replace(
            record,
            error=result.stopped,
            num_skipped=result.num_skipped,
            exported=[os.path.relpath(path, root) for path in exported],
            snippet=result.snippet,
        )

    def _give_up(self, error: Exception) -> None:
        self._on = False
        logger.warning("No report of this run: %s: %s", type(error).__name__, error)
        logger.debug("The report failed.", exc_info=True)


def _versions(resolved: Resolved) -> dict[str, str]:
    records = (resolved.method_record, resolved.model_record)
    plugins = [record.distribution for record in records if record is not None]
    versions = {"lightly-core": __version__, "Python": platform.python_version()}
    for package in (*_PACKAGES, *plugins):
        try:
            versions.setdefault(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine(resolved: Resolved) -> dict[str, str]:
    device = str(resolved.run.accelerator)
    if device == "cuda" and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return {
        "system": platform.platform(),
        "device": device,
        "processes": str(resolved.world_size),
        "CPUs": str(os.cpu_count() or "unknown"),
        "precision": str(resolved.run.precision),
    }
