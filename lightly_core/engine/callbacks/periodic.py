"""Base class of measurements before the first step, every n epochs and after training."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning.pytorch as lightning

from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.module import TrainingModule


class PeriodicMeasurement(lightning.Callback):
    """Measure on the first process while the others wait, and log the metrics.

    Place it before `MetricsCallback`, which passes the newest values to callbacks that monitor a
    metric, and before the checkpoints, which hold its state.

    Args:
        loggers: Where the results go.
        every_n_epochs: Epochs between measurements; None: before and after training only.
    """

    def __init__(self, loggers: Fanout, every_n_epochs: int | None) -> None:
        self.loggers = loggers
        self._every = every_n_epochs
        self._values: dict[str, float] = {}
        self._measured_at: int | None = None

    @abstractmethod
    def measure(self, trainer: lightning.Trainer, module: TrainingModule) -> dict[str, float]:
        """Return metrics. Called on the first process only."""

    def on_measured(self, values: dict[str, float]) -> None:
        """Store results. Called on every process."""

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure before training. A resumed run uses the values in its checkpoint."""
        if self._measured_at is None:
            self._measure(trainer, module)
        else:
            self.loggers.remember(self._values, self._measured_at)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure when enough epochs have passed, and after the last."""
        epoch = trainer.current_epoch + 1
        due = self._every is not None and epoch % self._every == 0
        if due or epoch == trainer.max_epochs:
            self._measure(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure after training if it ended early."""
        if self._measured_at != trainer.global_step:
            self._measure(trainer, module)

    def _measure(self, trainer: lightning.Trainer, module: TrainingModule) -> None:
        values = self.measure(trainer, module) if trainer.is_global_zero else {}
        self._values = trainer.strategy.broadcast(values)
        self._measured_at = trainer.global_step
        if self._values:
            self.loggers.log_metrics(self._values, trainer.global_step)
        self.on_measured(self._values)

    def state_dict(self) -> dict[str, Any]:
        """Return the newest values and the step that they belong to."""
        return {"values": self._values, "measured_at": self._measured_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore values and step."""
        self._values = dict(state.get("values", {}))
        self._measured_at = state.get("measured_at")
