"""Between Lightning's loggers and ours: each gets what is logged to the others."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger as LightningLogger

from lightly_core.config.settings import PythonObject
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.protocols import Logger

_STATUS = {"finished": "success", "interrupted": "failed", "failed": "failed"}


class LoggerBridge(LightningLogger):
    """A Lightning logger that passes on to ours what Lightning and its callbacks log.

    Loggers that the user gave to Lightning are among its own and get that from it.

    Args:
        loggers: Where metrics go.
    """

    def __init__(self, loggers: Fanout) -> None:
        super().__init__()
        self._loggers = loggers

    @property
    def name(self) -> str:
        """Return a fixed name; the run folder is the identity of a run."""
        return "lightly"

    @property
    def version(self) -> str:
        """Return a fixed version."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record scalars of one step."""
        named = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self._loggers.log_metrics(named, step or 0, leave_out=LightningBridge)

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: object, **kwargs: object
    ) -> None:
        """Do nothing: the engine records the configuration itself."""


class LightningBridge(Logger):
    """A logger of ours that passes everything on to one of Lightning's.

    Metrics and the configuration go to every logger. Files go to those of MLflow, Weights & Biases
    and Comet, and to any with a method ``log_artifact(path)``; pictures to those that have
    ``log_image(key, images, step)``, and to TensorBoard's.

    Args:
        logger: One of `lightning.pytorch.loggers`, or a subclass of theirs.
    """

    def __init__(self, logger: LightningLogger) -> None:
        self._logger = logger

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record scalars of one step."""
        self._logger.log_metrics(dict(metrics), step)
        self._logger.save()

    def log_config(self, config: Mapping[str, object]) -> None:
        """Record the configuration as hyperparameters."""
        self._logger.log_hyperparams(dict(config))

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Record a picture where that is possible."""
        log_image = getattr(self._logger, "log_image", None)
        if callable(log_image):
            log_image(key=name, images=[image], step=step)
            return
        add_image = getattr(self._experiment(), "add_image", None)
        if callable(add_image):
            add_image(name, image, step, dataformats="HWC")

    def log_artifact(self, path: Path) -> None:
        """Record a file where that is possible."""
        own = getattr(self._logger, "log_artifact", None)
        if callable(own):
            own(str(path))
            return
        experiment, run_id = self._experiment(), getattr(self._logger, "run_id", None)
        if callable(getattr(experiment, "log_asset", None)):  # Comet
            experiment.log_asset(str(path))
        elif callable(getattr(experiment, "log_artifact", None)):
            words = (str(path),) if run_id is None else (run_id, str(path))  # MLflow's client
            experiment.log_artifact(*words)

    def finish(self, status: str) -> None:
        """Write out what is kept, and say how the run ended.

        Lightning has said so already where it trained; it does so for each of its own runs, and
        loggers take it more than once.
        """
        self._logger.save()
        self._logger.finalize(_STATUS.get(status, status))

    def _experiment(self) -> Any:  # noqa: ANN401 - whatever the logger's library has
        return getattr(self._logger, "experiment", None)


def lightning_loggers(trainer_args: Mapping[str, Any] | None) -> list[LightningLogger]:
    """Return the loggers that the user gave to Lightning; ``True`` and ``False`` are none."""
    given = (trainer_args or {}).get("logger")
    if isinstance(given, PythonObject):
        given = given.value
    if given is None or isinstance(given, bool):
        return []
    return list(given) if isinstance(given, (list, tuple)) else [cast(LightningLogger, given)]


def bridged_loggers(trainer_args: Mapping[str, Any] | None) -> dict[str, Logger]:
    """Return those loggers as loggers of ours, by a name that tells where they are from."""
    return {
        f"trainer_args.logger {position} ({type(logger).__name__})": LightningBridge(logger)
        for position, logger in enumerate(lightning_loggers(trainer_args))
    }
