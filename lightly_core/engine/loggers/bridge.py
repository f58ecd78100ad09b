"""Adapters between the loggers of Lightning and of the engine: each gets all metrics."""

from __future__ import annotations

import functools
import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger as LightningLogger

from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import Logger
from lightly_core.engine.loggers.fanout import Fanout

log = logging.getLogger(__name__)

_STATUS = {"finished": "success", "interrupted": "failed", "failed": "failed"}


class LoggerBridge(LightningLogger):
    """A Lightning logger that passes metrics of Lightning and its callbacks to the engine.

    Lightning passes these metrics itself to the loggers that the user gave to it.

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
        self._loggers.log_metrics(named, step or 0, exclude=LightningBridge)

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: object, **kwargs: object
    ) -> None:
        """Do nothing: the engine records the configuration itself."""


class LightningBridge(Logger):
    """A logger of the engine that passes everything to one of Lightning.

    Metrics and the configuration go to every logger. Files go to those of MLflow, Weights & Biases
    and Comet, and to any with a method ``log_artifact(path)``; images to those that have
    ``log_image(key, images, step)``, and to TensorBoard's.

    Args:
        logger: One of `lightning.pytorch.loggers`, or a subclass of theirs.
    """

    def __init__(self, logger: LightningLogger) -> None:
        self._logger = logger
        # The original methods: those of `failures_reported` hide errors, so that `Fanout` would not
        # disable the logger.
        self._log_metrics, self._log_config = logger.log_metrics, logger.log_hyperparams
        self._save, self._finalize = logger.save, logger.finalize

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record scalars of one step."""
        self._log_metrics(dict(metrics), step)
        self._save()

    def log_config(self, config: Mapping[str, object]) -> None:
        """Record the configuration as hyperparameters."""
        self._log_config(dict(config))

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Record an image if the logger supports this."""
        log_image = getattr(self._logger, "log_image", None)
        if callable(log_image):
            log_image(key=name, images=[image], step=step)
            return
        add_image = getattr(self._experiment(), "add_image", None)
        if callable(add_image):
            add_image(name, image, step, dataformats="HWC")

    def log_artifact(self, path: Path) -> None:
        """Record a file if the logger supports this."""
        own = getattr(self._logger, "log_artifact", None)
        if callable(own):
            own(str(path))
            return
        experiment, run_id = self._experiment(), getattr(self._logger, "run_id", None)
        if callable(getattr(experiment, "log_asset", None)):  # Comet
            experiment.log_asset(str(path))
        elif callable(getattr(experiment, "log_artifact", None)):
            arguments = (str(path),) if run_id is None else (run_id, str(path))  # MLflow's client
            experiment.log_artifact(*arguments)

    def finish(self, status: str) -> None:
        """Write buffered records and the status of the run.

        If Lightning has trained, it has already called `finalize`. Loggers accept a second call.
        """
        self._save()
        self._finalize(_STATUS.get(status, status))

    def _experiment(self) -> Any:  # noqa: ANN401 - whatever the logger's library has
        return getattr(self._logger, "experiment", None)


#: Methods of loggers that Lightning calls itself.
_CALLED_BY_LIGHTNING = (
    "log_metrics",
    "log_hyperparams",
    "log_graph",
    "save",
    "after_save_checkpoint",
    "finalize",
)


@contextmanager
def failures_reported(loggers: Iterable[LightningLogger]) -> Iterator[None]:
    """Continue the run if a logger raises when Lightning calls it; warn once per logger.

    Args:
        loggers: Loggers of the Trainer. Their methods are replaced, and restored on exit.
    """
    with ExitStack() as stack:
        for logger in loggers:
            reported: set[str] = set()
            for name in _CALLED_BY_LIGHTNING:
                method = getattr(logger, name, None)
                if callable(method) and name not in vars(logger):
                    setattr(logger, name, _reporting(logger, method, reported))
                    stack.callback(delattr, logger, name)
        yield


def _reporting(
    logger: LightningLogger, method: Callable[..., object], reported: set[str]
) -> Callable[..., object]:
    @functools.wraps(method)
    def call(*args: object, **kwargs: object) -> object:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if not reported:
                log.warning(
                    "%s failed when Lightning called it; the run continues: %s: %s",
                    type(logger).__name__,
                    type(error).__name__,
                    error,
                )
                log.debug("%s failed.", type(logger).__name__, exc_info=True)
            reported.add(method.__name__)
            return None

    return call


def lightning_loggers(trainer_args: Mapping[str, Any] | None) -> list[LightningLogger]:
    """Return the loggers that the user gave to Lightning; none for ``True`` and ``False``."""
    given = (trainer_args or {}).get("logger")
    if isinstance(given, PythonObject):
        given = given.value
    if given is None or isinstance(given, bool):
        return []
    return list(given) if isinstance(given, (list, tuple)) else [cast(LightningLogger, given)]


def bridged_loggers(trainer_args: Mapping[str, Any] | None) -> dict[str, Logger]:
    """Return those loggers as loggers of the engine, by names that show their origin."""
    return {
        f"trainer_args.logger {position} ({type(logger).__name__})": LightningBridge(logger)
        for position, logger in enumerate(lightning_loggers(trainer_args))
    }
