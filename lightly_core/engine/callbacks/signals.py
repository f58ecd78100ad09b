"""Measure features without labels, and warn when they collapse."""

from __future__ import annotations

import logging
from dataclasses import astuple
from typing import Any

import lightning.pytorch as lightning
import torch

from lightly_core.engine.callbacks.periodic import PeriodicMeasurement
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.module import TrainingModule
from lightly_core.evaluation.collapse import FREE_STD_LIMIT, STD_LIMIT, Collapse, find_collapse
from lightly_core.evaluation.signals import SignalProbe, Signals

logger = logging.getLogger(__name__)

#: Type for autocast of a precision; others need none.
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class SignalsCallback(PeriodicMeasurement):
    """Log standard deviation and rank of the features, and warn when they collapse or recover.

    Args:
        probe: The images.
        loggers: Where the results go.
        every_n_epochs: Epochs between measurements.
        spread_is_free: Whether the loss does not constrain the spread of pooled features, see
            `lightly_core.config.options.method.MethodConfig.spread_is_free`.

    Attributes:
        collapse: The present collapse of the features; None if there is none.
    """

    def __init__(
        self,
        probe: SignalProbe,
        loggers: Fanout,
        every_n_epochs: int,
        *,
        spread_is_free: bool = False,
    ) -> None:
        super().__init__(loggers, every_n_epochs)
        self._std_limit = FREE_STD_LIMIT if spread_is_free else STD_LIMIT
        self._probe = probe
        self._series: list[Signals] = []
        self.collapse: Collapse | None = None

    def measure(self, trainer: lightning.Trainer, module: TrainingModule) -> dict[str, float]:
        """Measure the features of the chosen images."""
        run = module.resolved.run
        signals = self._probe.run(
            module.network(),
            module.device,
            num_workers=int(run.num_workers),
            precision=AUTOCAST.get(str(run.precision)),
            channels_last=module.channels_last,
        )
        if signals is None:
            logger.warning("No signals: fewer than two images have features that are finite.")
            return {}
        logger.info(
            "Features at step %d: standard deviation %.3f, RankMe %.1f, %.1f effective dimensions",
            trainer.global_step,
            signals.std,
            signals.rank,
            signals.directions,
        )
        self._find_collapse(signals, trainer.global_step)
        return signals.metrics()

    def _find_collapse(self, signals: Signals, step: int) -> None:
        self._series.append(signals)
        found = find_collapse(self._series, self._std_limit)
        if found is not None and self.collapse is None:
            logger.warning("Step %d: %s", step, found.text)
        elif found is None and self.collapse is not None:
            logger.warning("Step %d: the features have recovered from their collapse.", step)
        self.collapse = found

    def state_dict(self) -> dict[str, Any]:
        """Return all measurements so far, to which later ones are compared."""
        return {**super().state_dict(), "series": [list(astuple(one)) for one in self._series]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the measurements."""
        super().load_state_dict(state)
        self._series = [Signals(*one) for one in state.get("series", [])]
        self.collapse = find_collapse(self._series, self._std_limit)
