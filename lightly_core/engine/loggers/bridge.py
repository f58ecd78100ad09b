"""Lets Lightning and other people's callbacks log into our loggers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger as LightningLogger

from lightly_core.engine.loggers.fanout import Fanout


class LoggerBridge(LightningLogger):
    """A Lightning logger that passes everything on.

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
        self._loggers.log_metrics(
            {name: float(value) for name, value in metrics.items() if name != "epoch"}, step or 0
        )

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: object, **kwargs: object
    ) -> None:
        """Do nothing: the engine records the configuration itself."""
