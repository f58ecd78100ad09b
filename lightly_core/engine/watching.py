"""Choose the images and callbacks that evaluate the features during a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.callbacks import CallbacksArgs, LinearArgs
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.engine.callbacks.knn import KnnCallback
from lightly_core.engine.callbacks.periodic import PeriodicMeasurement
from lightly_core.engine.callbacks.signals import SignalsCallback
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.measured import KNN_IS_OFF, check_measurements
from lightly_core.evaluation.probe import LabelledProbe
from lightly_core.evaluation.signals import SignalProbe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watchers:
    """The callbacks that measure the features; None if one is off or has no images."""

    signals: SignalsCallback | None = None
    knn: KnnCallback | None = None

    def callbacks(self) -> list[PeriodicMeasurement]:
        """Return those that are not None."""
        return [callback for callback in (self.signals, self.knn) if callback is not None]


@dataclass(frozen=True)
class Probes:
    """Images whose features are measured.

    Attributes:
        args: Options of the callbacks.
        signals: Images without labels; None if the signals are off.
        labelled: Images with labels; None if there are none, or the kNN is off.
        linear: Options of the linear classifier; None if it is off.
        spread_is_free: See `lightly_core.config.options.method.MethodConfig.spread_is_free`.
    """

    args: CallbacksArgs
    signals: SignalProbe | None
    labelled: LabelledProbe | None
    linear: LinearArgs | None
    spread_is_free: bool = False

    def watchers(self, loggers: Fanout) -> Watchers:
        """Build the callbacks of one run."""
        signals = knn = None
        if self.signals is not None and self.args.signals is not None:
            # Every "auto" is resolved.
            every = int(self.args.signals.every_n_epochs)
            signals = SignalsCallback(
                self.signals, loggers, every, spread_is_free=self.spread_is_free
            )
        if self.labelled is not None and self.args.knn is not None:
            often = self.args.knn.every_n_epochs
            interval = often if isinstance(often, int) else None
            knn = KnnCallback(self.labelled, loggers, interval, self.linear)
        return Watchers(signals, knn)


def choose_images(
    resolved: Resolved, source: ImageSource, val_source: ImageSource | None
) -> Probes:
    """Choose the images whose features are measured. Only labels are read.

    Raises:
        ConfigError: `val_data` would not be used, or a monitored metric will not be logged.
        DataError: The labels of `val_data` cannot be used.
    """
    args = resolved.callbacks
    seed = int(resolved.run.seed or 0)
    transform = eval_transform(resolved)
    signals = labelled = None
    if args.signals is not None:
        num_images = int(args.signals.num_images)
        signals = SignalProbe(source, transform, num_images=num_images, seed=seed)
    why_not: str | None = KNN_IS_OFF
    if args.knn is not None:
        labelled = LabelledProbe(source, args.knn, transform, seed=seed, val_source=val_source)
        why_not = labelled.reason
        if why_not is not None:
            labelled = None
    linear = check_measurements(resolved, why_not, has_val_data=val_source is not None)
    probes = Probes(args, signals, labelled, linear, resolved.method.spread_is_free)
    if labelled is None and args.knn is not None:
        logger.info("No kNN accuracy before and after: %s", why_not)
    return probes


def eval_transform(settings: Settings) -> EvalTransform:
    """Return the fixed view of evaluation for the networks of a run."""
    transform = settings.transform
    return EvalTransform(
        transform.size,
        transform.normalize,
        transform.channels,
        transform.interpolation,
        transform.channel_drop,
    )
