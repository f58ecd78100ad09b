"""Pass metrics to every logger. A logger that fails is reported and disabled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lightly_core.contracts import ExportedModel, Logger

log = logging.getLogger(__name__)


class Fanout(Logger):
    """All loggers of a run as one.

    Args:
        loggers: By name, in the order in which they are called.

    Attributes:
        latest: The newest value of each metric.
        latest_step: The step of that value.
        foreign: Names of metrics that Lightning logged itself.
    """

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = dict(loggers)
        self.latest: dict[str, float] = {}
        self.latest_step: dict[str, int] = {}
        self.foreign: set[str] = set()

    def start(self, loggers: Mapping[str, Logger]) -> None:
        """Add loggers, which may write files from now on."""
        self._loggers.update(loggers)

    @property
    def names(self) -> list[str]:
        """Names of the loggers that still work."""
        return list(self._loggers)

    def log_metrics(
        self, metrics: Mapping[str, float], step: int, *, exclude: type[Logger] | None = None
    ) -> None:
        """Record scalars of one step.

        Args:
            metrics: Scalars by name.
            step: Never decreases.
            exclude: A class of loggers that already have the metrics, since Lightning logged them.
        """
        if exclude is not None:
            self.foreign.update(metrics)
        self.remember(metrics, step)
        self._call(lambda logger: logger.log_metrics(metrics, step), exclude)

    def remember(self, metrics: Mapping[str, float], step: int) -> None:
        """Store metrics as the newest ones without recording them."""
        self.latest.update(metrics)
        self.latest_step.update(dict.fromkeys(metrics, step))

    def log_config(self, config: Mapping[str, object]) -> None:
        """Record the resolved configuration."""
        self._call(lambda logger: logger.log_config(config))

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Record an image."""
        self._call(lambda logger: logger.log_image(name, image, step))

    def log_artifact(self, path: Path) -> None:
        """Record a file that the run wrote."""
        self._call(lambda logger: logger.log_artifact(path))

    def log_model(self, model: ExportedModel) -> None:
        """Record the exported backbone."""
        self._call(lambda logger: logger.log_model(model))

    def finish(self, status: str) -> None:
        """Close all loggers."""
        self._call(lambda logger: logger.finish(status))
        self._loggers = {}

    def _call(self, action: Callable[[Logger], None], exclude: type[Logger] | None = None) -> None:
        for name, logger in list(self._loggers.items()):
            if exclude is not None and isinstance(logger, exclude):
                continue
            try:
                action(logger)
            except Exception as error:
                log.warning(
                    "Logger '%s' failed and is switched off for the rest of the run: %s: %s",
                    name,
                    type(error).__name__,
                    error,
                )
                log.debug("Logger '%s' failed.", name, exc_info=True)
                del self._loggers[name]
