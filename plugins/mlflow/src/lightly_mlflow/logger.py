"""The logger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lightly_core.contracts import ExportedModel
from lightly_core.engine.remote import Metrics, RemoteLogger
from lightly_core.engine.remote.logger import now
from lightly_mlflow.client import require_packages
from lightly_mlflow.config import MlflowArgs
from lightly_mlflow.destination import MlflowDestination
from lightly_mlflow.models import save_model
from lightly_mlflow.system import SystemMonitor, seconds_since

log = logging.getLogger(__name__)


class MlflowLogger(RemoteLogger):
    """Records a run on an MLflow server.

    Args:
        config: Options of the logger.
        folder: The run folder.
        resume_step: Step from which a run is resumed; None: a new run.
    """

    name: ClassVar[str] = "mlflow"
    config: MlflowArgs

    def __init__(self, config: MlflowArgs, folder: Path, resume_step: int | None) -> None:
        super().__init__(config, folder, resume_step)
        self._monitor: SystemMonitor | None = None
        if config.log_system_metrics:
            self._monitor = SystemMonitor(config.system_metrics_interval, self._record_load)

    @classmethod
    def check(cls, config: MlflowArgs) -> None:
        """Refuse options whose packages are not installed."""
        require_packages(config)

    @classmethod
    def make_destination(cls, config: MlflowArgs, folder: Path) -> MlflowDestination:
        """Return the destination."""
        return MlflowDestination(config, folder)

    def log_model(self, model: ExportedModel) -> None:
        """Save the backbone as an MLflow model, if the options say so."""
        if not self.config.log_model:
            return
        try:
            path = save_model(model, self.folder)
        except Exception as error:  # whatever pickle, torch or MLflow raise
            log.warning(
                "The backbone cannot be stored as an MLflow model; its exported files are sent: "
                "%s: %s",
                type(error).__name__,
                error,
            )
            log.debug("The backbone cannot be stored as an MLflow model.", exc_info=True)
            return
        self.put_model(path)

    def _record_load(self, values: Mapping[str, float]) -> None:
        step = seconds_since(self.started)
        self.put(Metrics(step=step, values=values, time=now(), is_repeated=False))

    def finish(self, status: str) -> None:
        """Stop measuring, and send the rest."""
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None
        super().finish(status)
