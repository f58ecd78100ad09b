"""Measure the accuracy of the frozen features if there are labels."""

from __future__ import annotations

import logging
from typing import Any

import lightning.pytorch as lightning

from lightly_core.config.options.callbacks import LinearArgs
from lightly_core.engine.callbacks.periodic import PeriodicMeasurement
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.module import TrainingModule
from lightly_core.evaluation.knn import KnnResult
from lightly_core.evaluation.probe import LabelledProbe, linear_score
from lightly_core.evaluation.uncertainty import percent, standard_error, too_few_images

logger = logging.getLogger(__name__)


class KnnCallback(PeriodicMeasurement):
    """Classifies some images by their nearest neighbours, and optionally by a linear classifier.

    Args:
        probe: The images and how they are compared.
        loggers: Where the results go.
        every_n_epochs: Epochs between measurements; None: before and after training only.
        linear: Options of the linear classifier; None: it is off.

    Attributes:
        before: kNN top-1 of the network before training; None before it was measured.
        after: The newest kNN top-1.
        num_query: Images that were classified in the newest measurement; None before it.
    """

    def __init__(
        self,
        probe: LabelledProbe,
        loggers: Fanout,
        every_n_epochs: int | None = None,
        linear: LinearArgs | None = None,
    ) -> None:
        super().__init__(loggers, every_n_epochs)
        self._probe = probe
        self._linear = linear
        self._logged_notes: tuple[str, ...] = ()
        self.before: float | None = None
        self.after: float | None = None
        self.num_query: int | None = None

    def measure(self, trainer: lightning.Trainer, module: TrainingModule) -> dict[str, float]:
        """Compute the features once, for both classifiers."""
        features = self._probe.features(
            module.network(),
            module.device,
            num_workers=int(module.resolved.run.num_workers),
            channels_last=module.channels_last,
        )
        result = self._probe.knn(features)
        self.num_query = result.num_query
        metrics = {"knn/top1": result.top1, "knn/top5": result.top5}
        self._log(result, trainer.global_step)
        if self._linear is not None:
            score = linear_score(features, self._linear.penalty)
            if score is not None:
                metrics |= {"linear/top1": score.top1, "linear/top5": score.top5}
                error = standard_error(score.top1, result.num_query)
                accuracy = percent(score.top1, error)
                logger.info("Linear top-1 at step %d: %s", trainer.global_step, accuracy)
        return metrics

    def on_measured(self, values: dict[str, float]) -> None:
        """Store the first accuracy and the newest."""
        self.after = values["knn/top1"]
        if self.before is None:
            self.before = self.after

    def _log(self, result: KnnResult, step: int) -> None:
        logger.info(
            "kNN top-1 %s: %s (%d images by %d others, k=%d)",
            "before training" if self.before is None else f"at step {step}",
            percent(result.top1, standard_error(result.top1, result.num_query)),
            result.num_query,
            result.num_train,
            result.k,
        )
        notes = result.notes
        if self.before is None and (few := too_few_images(result.top1, result.num_query)):
            notes = (*notes, few)
        for note in notes:
            if note not in self._logged_notes:
                logger.info("kNN: %s", note)
        self._logged_notes = notes

    def state_dict(self) -> dict[str, Any]:
        """Return the accuracy before training and the newest."""
        return {**super().state_dict(), "before": self.before, "after": self.after}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state)
        self.before = state["before"]
        self.after = state.get("after")
