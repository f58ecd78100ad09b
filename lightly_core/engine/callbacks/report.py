"""Take the pictures and features of the report before and after training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as lightning

from lightly_core.contracts import Batch
from lightly_core.engine.callbacks.signals import AUTOCAST
from lightly_core.engine.module import TrainingModule
from lightly_core.reporting.capture import Capture, Network, write_views

logger = logging.getLogger(__name__)


class ReportCallback(lightning.Callback):
    """Calls `Capture` on the first process while the others wait. An error is one warning.

    Place it before `MetricsCallback`, whose clocks start after it.

    Args:
        capture: Takes the pictures and features; None: there are no images to take.
        folder: The run folder.
    """

    def __init__(self, capture: Capture | None, folder: Path) -> None:
        self._capture = capture
        self._folder = folder
        self._views_done = False

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure before the first step. A resumed run keeps the files of its first start."""
        self._views_done = trainer.global_step > 0
        if self._capture is not None and trainer.global_step == 0:
            capture = self._capture
            self._try(trainer, lambda: capture.before(_network(module)))
            trainer.strategy.barrier("report")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        outputs: object,
        batch: Batch,
        batch_index: int,
    ) -> None:
        """Write the views of the first batch."""
        if self._views_done:
            return
        self._views_done = True
        transform = module.resolved.transform
        normalize = transform.normalize
        self._try(
            trainer,
            lambda: write_views(
                self._folder, batch.views, transform.view_specs(), normalize.mean, normalize.std
            ),
        )

    def on_train_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Measure after training."""
        if self._capture is not None:
            capture = self._capture
            self._try(trainer, lambda: capture.after(_network(module)))
            trainer.strategy.barrier("report")

    def _try(self, trainer: lightning.Trainer, action: Callable[[], None]) -> None:
        if not trainer.is_global_zero:
            return
        try:
            action()
        except Exception as error:
            logger.warning(
                "The report will lack pictures or features: %s: %s", type(error).__name__, error
            )
            logger.debug("The report lacks something.", exc_info=True)
            self._capture = None
            self._views_done = True


def _network(module: TrainingModule) -> Network:
    run = module.resolved.run
    return Network(
        module.network(),
        module.device,
        int(run.num_workers),
        AUTOCAST.get(str(run.precision)),
        module.channels_last,
    )
