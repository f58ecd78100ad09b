"""One pretraining run from checked settings to exported files."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as lightning
import numpy as np
import torch
from attrs import evolve

from lightly_core.config.auto.resolve import Resolved, draw_seed
from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.reading.launch import is_first_process
from lightly_core.config.reading.load import Settings
from lightly_core.data.fingerprint import contents
from lightly_core.data.skipped import SkipLog
from lightly_core.engine import build
from lightly_core.engine.callbacks.checkpoint import CheckpointCallback
from lightly_core.engine.callbacks.export import BestExportCallback, ExportCallback
from lightly_core.engine.callbacks.finite import FiniteCallback
from lightly_core.engine.callbacks.interrupt import InterruptCallback, ListenCallback
from lightly_core.engine.callbacks.metrics import MetricsCallback
from lightly_core.engine.callbacks.pace import PaceCallback
from lightly_core.engine.callbacks.peers import PeerCallback
from lightly_core.engine.callbacks.progress import ProgressCallback
from lightly_core.engine.callbacks.skips import SkipsCallback
from lightly_core.engine.fitting import fit
from lightly_core.engine.folder import RunFolder, write_json
from lightly_core.engine.fsdp2 import NAME as FSDP2
from lightly_core.engine.fsdp2 import GatherNetwork, refuse_fsdp2
from lightly_core.engine.images import open_images, open_val_images, refuse_resolved, resolve_run
from lightly_core.engine.loggers.checking import require_loggers
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.logs import RunLogs
from lightly_core.engine.module import FinishBatch
from lightly_core.engine.peer_watch import PeerWatch
from lightly_core.engine.plan.plan import Plan
from lightly_core.engine.plan.size import RunSize, size_of_run
from lightly_core.engine.plan.start import start_text
from lightly_core.engine.process_state import process_state_restored
from lightly_core.engine.profile.run import RunProfile
from lightly_core.engine.rehearsal import rehearse
from lightly_core.engine.report import RunReport, report_callbacks
from lightly_core.engine.requeue import requeueing
from lightly_core.engine.result import RunResult
from lightly_core.engine.resume import ResumePoint, find_resume_point, refuse_changes, restore_last
from lightly_core.engine.start import removed_if_untrained
from lightly_core.engine.status import record_status
from lightly_core.engine.stopping import stop_reason
from lightly_core.engine.stops import Stops
from lightly_core.engine.summary import summary_text
from lightly_core.engine.trainer import (
    build_trainer,
    early_stopping,
    plain,
    trainer_args_problems,
)
from lightly_core.engine.watching import Watchers, choose_images
from lightly_core.errors import ConfigError, RunInterrupted
from lightly_core.exporting.files import export_model, snippet
from lightly_core.failures import explained
from lightly_core.models.snapshot import restored_after
from lightly_core.models.trainable import CONVERTING
from lightly_core.plugins.discovery import Plugins
from lightly_core.plugins.hookspecs import RunStatus

logger = logging.getLogger(__name__)

#: Variable that passes the random seed of ``seed=None`` to the processes that this one starts.
_SEED_VARIABLE = "LIGHTLY_DRAWN_SEED"


def execute(settings: Settings, plugins: Plugins) -> RunResult:
    """Run.

    Raises:
        LightlyError: See `lightly_core.pretrain`.
        RunInterrupted: A signal stopped the run.
    """
    with _prepared(settings, plugins) as run:
        return run.execute()


def rehearse_run(settings: Settings, plugins: Plugins) -> Plan:
    """Make the checks of a run, with its networks. Nothing is written.

    Raises:
        LightlyError: A run with these settings would be refused.
    """
    with _prepared(settings, plugins, dry=True) as run:
        return Plan(settings=settings, resolved=run.resolved, size=run.rehearse())


@contextmanager
def _prepared(settings: Settings, plugins: Plugins, *, dry: bool = False) -> Iterator[Run]:
    folder = RunFolder(settings.run.out)
    with (
        removed_if_untrained(folder),
        RunLogs(is_first_process(), plugins.catalog.packages(), to_stderr=dry) as logs,
        explained(folder.root, kept=folder.last_checkpoint),
        process_state_restored(),
        _seed_variable_removed(),
        Stops(requeueing(settings.run)) as stops,
    ):
        yield Run(settings, plugins, logs, stops, folder)


class Training(NamedTuple):
    """The Trainer of a run, and the objects whose results are read after training."""

    trainer: lightning.Trainer
    skips: SkipLog
    watchers: Watchers
    best: BestExportCallback | None


class Run:
    """One run; the constructor resolves the settings and writes nothing.

    Args:
        settings: Checked settings.
        plugins: Catalog and hooks.
        logs: Log handlers of this run.
        stops: Signal handlers; None: signals are not handled.
        folder: Paths below ``out``; None: they are created from the settings.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        logs: RunLogs,
        stops: Stops | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        self.plugins = plugins
        self.logs = logs
        self.stops = stops or Stops()
        self.folder = folder or RunFolder(settings.run.out)
        problems = trainer_args_problems(settings.run.trainer_args)
        if problems:
            raise ConfigError("\n".join(problems))
        self._stamp = self.folder.stamp()
        self.resume = self._find_resume_point(settings)
        self.source = open_images(settings)
        self.val_source = open_val_images(settings)
        self.resolved: Resolved = resolve_run(
            settings, self.source, self.val_source, self._random_seed
        )
        self._settings = settings
        self.finite = FiniteCallback(self.resolved.callbacks, self.folder)
        self.profile = RunProfile(self.resolved)
        self.peers = PeerWatch(self.folder, self.resolved.run.process_timeout)
        if self.resume is not None:
            refuse_changes(self.resume, self.resolved, self.source)
        refuse_resolved(self.resolved.run)
        refuse_fsdp2(self.resolved)

    def _find_resume_point(self, settings: Settings) -> ResumePoint | None:
        if not settings.run.resume_interrupted:
            return None
        return find_resume_point(self.folder)

    def _random_seed(self) -> int:
        """Return the seed of ``seed=None``, the same in all processes and after an interruption."""
        if self.resume is not None:
            return self.resume.seed
        seed = os.environ.get(_SEED_VARIABLE) or str(draw_seed())
        os.environ[_SEED_VARIABLE] = seed
        return int(seed)

    def rehearse(self) -> RunSize | None:
        """Make the checks of `execute`, and return the size of the networks. Writes nothing."""
        catalog = self.plugins.catalog
        return rehearse(self.resolved, self.source, self.val_source, self.folder, catalog)

    # ------------------------------------------------------------------ the run

    def execute(self) -> RunResult:
        """Build, train, export."""
        run = self.resolved.run
        with restored_after(plain(run.model), converted=run.precision in CONVERTING):
            return self._execute()

    def _execute(self) -> RunResult:
        run = self.resolved.run
        torch.set_float32_matmul_precision(run.float32_matmul_precision)
        seed_everything(int(run.seed or 0))
        built = build.build_run(self.resolved, self.source, self.plugins.catalog)
        build.check_data(built.module)
        probes = choose_images(self.resolved, self.source, self.val_source)
        require_loggers(self.resolved)
        loggers = Fanout({})
        training = self._set_up(built, loggers, probes.watchers(loggers))
        opened = self.folder.opened(
            overwrite=run.overwrite, resume=self.resume is not None, stamp=self._stamp
        )
        with opened if is_first_process() else nullcontext():
            in_folder = partial(self._run, built, loggers, training)
            return record_status(self.folder.root, training, self.resume is not None, in_folder)

    def _run(self, built: build.BuiltRun, loggers: Fanout, training: Training) -> RunResult:
        """Train and export, in the run folder."""
        if is_first_process():
            if self.resume is not None:
                restore_last(self.folder, self.resume)
            built.module.images = contents(self.source)
        self.logs.open_file(self.folder.log)
        self._write_records(built)
        first = is_first_process()
        step = self.resume.step if self.resume is not None else None
        if first:
            loggers.start(build.build_loggers(self.resolved, self.folder, step))
        loggers.log_config(self.resolved.as_dict())
        if first:
            self.plugins.warn_about_problems()
        info = build.run_info(self.resolved, self.folder, resumed=self.resume is not None)
        self.plugins.run_start(info)
        status: RunStatus = "failed"
        result: RunResult | None = None
        report = RunReport(self._settings, self.resolved, self.folder, resumed=info.resumed)
        if first:
            report.begin()
        try:
            result = self._train(built, loggers, training)
            status = "finished"
            return result
        except RunInterrupted:
            status = "interrupted"
            raise
        finally:
            if first:  # raises no exception of the report
                report.finish(status, sys.exc_info()[1], result, training.watchers, loggers)
            loggers.finish(status)  # raises no exception of a logger
            self.plugins.run_end(evolve(info, status=status))

    def _write_records(self, built: build.BuiltRun) -> None:
        if not is_first_process():
            return
        resolved = self.resolved.as_dict()
        if self.resume is None:
            write_json(self.folder.config, resolved)
        write_json(self.folder.plugins, [status.as_dict() for status in self.plugins.statuses])
        logger.debug("Command: %s", without_secrets(" ".join(sys.argv)))
        versions = (sys.version.split()[0], torch.__version__, version("lightning"))
        logger.debug("Python %s, torch %s, lightning %s", *versions)
        logger.debug("Resolved configuration:\n%s", json.dumps(resolved, indent=2))
        size = size_of_run(built.wrapper, built.method, self.resolved)
        resumed = self.resume is not None
        logger.info("%s", start_text(self.resolved, size, resumed=resumed))
        logger.info("Writing to %s", self.folder.root)

    def _set_up(self, built: build.BuiltRun, loggers: Fanout, watchers: Watchers) -> Training:
        """Build Trainer and callbacks, and refuse arguments that do not work. Writes nothing."""
        skips = SkipLog(self.folder.root, len(self.source), self.resolved.run.max_skipped)
        best = self._best_export(built, loggers)
        callbacks = self._callbacks(built, loggers, skips, watchers, best)
        trainer = build_trainer(self.resolved, self.folder, loggers, callbacks)
        self.stops.watch(self.peers)
        return Training(trainer, skips, watchers, best)

    def _train(self, built: build.BuiltRun, loggers: Fanout, training: Training) -> RunResult:
        trainer, skips, watchers, best = training
        if self.resume is not None:
            built.module.start_at(self.resume.epoch, self.resume.batches)
            built.module.buffer.load(self.resume.buffer)
        if self.resolved.total_steps == 0:
            logger.info("There are no steps to train: exporting the model untrained.")
        else:
            path = self.resume.path if self.resume is not None else None
            with (
                self.profile.reported(trainer, self.folder.profile, loggers),
                self.peers.watching(trainer),
            ):
                fit(trainer, built.module, path)
                trainer.strategy.barrier("trained")
        exported: list[Path] = []
        num_skipped = 0
        if trainer.is_global_zero:
            exported = self._export(built)
            self.folder.sweep()
            num_skipped = skips.finish()
            for path in (*exported, *(best.paths if best is not None else ())):
                loggers.log_artifact(path)
            loggers.log_model(build.exported_model(built, self.resolved))
        stopped = stop_reason(trainer, self.resolved.total_steps)
        return self._summarise(built, loggers, exported, watchers, best, num_skipped, stopped)

    def _callbacks(
        self,
        built: build.BuiltRun,
        loggers: Fanout,
        skips: SkipLog,
        watchers: Watchers,
        best: BestExportCallback | None,
    ) -> list[lightning.Callback]:
        args = self.resolved.callbacks
        interval = self.resolved.log_every_n_steps
        callbacks: list[lightning.Callback] = [
            PeerCallback(self.peers),
            ListenCallback(self.stops),
            FinishBatch(),
            *([GatherNetwork()] if self.resolved.run.strategy == FSDP2 else []),
            *self.profile.callbacks,
            self.finite,
            SkipsCallback(skips),
            *watchers.callbacks(),
            *report_callbacks(self.resolved, self.source, self.val_source, self.folder),
            MetricsCallback(loggers, args, interval, self.finite),
            PaceCallback(auto_epochs=self._settings.run.epochs == "auto"),
        ]
        if best is not None:
            callbacks.append(best)
        checkpoints = None
        if args.model_checkpoint is not None:
            checkpoints = CheckpointCallback(args.model_checkpoint, self.folder, self.finite.check)
            callbacks.append(checkpoints)
        if args.model_export is not None:
            callbacks.append(ExportCallback(args.model_export, lambda: self._export(built)))
        callbacks += early_stopping(args.early_stopping)
        callbacks.append(ProgressCallback(loggers, self.resolved.total_steps))
        callbacks.append(InterruptCallback(self.stops, checkpoints))
        return callbacks

    def _best_export(self, built: build.BuiltRun, loggers: Fanout) -> BestExportCallback | None:
        args = self.resolved.callbacks.model_checkpoint
        if args is None or args.monitor is None:
            return None
        return BestExportCallback(args, loggers, lambda: self._export(built, "exported_best"))

    # ------------------------------------------------------------------ results

    def _export(self, built: build.BuiltRun, stem: str = "exported_last") -> list[Path]:
        self.finite.refuse_export(built.module)
        return export_model(
            built.model,
            built.module.network(),
            self.folder.exported_models,
            stem,
            build.metadata(self.resolved),
        )

    def _summarise(
        self,
        built: build.BuiltRun,
        loggers: Fanout,
        exported: list[Path],
        watchers: Watchers,
        best: BestExportCallback | None,
        num_skipped: int,
        stopped: str | None,
    ) -> RunResult:
        code = snippet(built.model, exported[0]) if exported else ""
        knn, signals = watchers.knn, watchers.signals
        collapse = signals.collapse if signals is not None else None
        result = RunResult(
            folder=self.folder.root,
            metrics=dict(loggers.latest),
            exported=tuple(exported),
            exported_best=best.paths if best is not None else (),
            knn_before=knn.before if knn is not None else None,
            knn_after=knn.after if knn is not None else None,
            num_query=knn.num_query if knn is not None else None,
            collapse=collapse.text if collapse is not None else None,
            num_skipped=num_skipped,
            stopped=stopped,
            snippet=code,
        )
        if exported:
            logger.info("\n%s", summary_text(result, best))
        return result


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, for the initial weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def _seed_variable_removed() -> Iterator[None]:
    """Let the next run of this process use another random seed."""
    try:
        yield
    finally:
        if is_first_process():
            os.environ.pop(_SEED_VARIABLE, None)
