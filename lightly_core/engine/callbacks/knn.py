"""Accuracy of the frozen features before and after training, where the images have labels."""

from __future__ import annotations

import logging
from typing import Any

import lightning.pytorch as lightning

from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.module import TrainingModule
from lightly_core.evaluate.probe import LabelledProbe

logger = logging.getLogger(__name__)


class KnnCallback(lightning.Callback):
    """Classifies some images by their nearest neighbours, before the first and after the last step.

    Args:
        probe: The images and how they are compared.
        loggers: Where the result goes.
    """

    def __init__(self, probe: LabelledProbe, loggers: Fanout) -> None:
        self._probe = probe
        self._loggers = loggers
        self.before: float | None = None
        self.after: float | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure the network as it comes in; a resumed run remembers what was measured."""
        if self.before is None:
            self.before = self._measure(trainer, module, "before")

    def on_train_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure what came out."""
        self.after = self._measure(trainer, module, "after")

    def _measure(self, trainer: lightning.Trainer, module: TrainingModule, when: str) -> float:
        top1 = 0.0
        if trainer.is_global_zero:
            result = self._probe.run(
                module.method.exported_wrapper(),
                module.device,
                num_workers=int(module.resolved.settings.run.num_workers),
                channels_last=module.channels_last,
            )
            top1 = result.top1
            logger.info(
                "kNN top-1 %s training: %.1f %% (%d images by %d others, k=%d)",
                when,
                100 * top1,
                result.num_query,
                result.num_train,
                result.k,
            )
            for note in result.notes:
                logger.info("kNN: %s", note)
        top1 = trainer.strategy.broadcast(top1)
        self._loggers.log_metrics({"knn/top1": top1}, trainer.global_step)
        return top1

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured before training."""
        return {"before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.before = state["before"]
