"""Choose the images and callbacks that evaluate the features during a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.callbacks import CallbacksArgs, LinearArgs
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.decode import smallest_useful_side
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.engine.callbacks.knn import KnnCallback
from lightly_core.engine.callbacks.periodic import PeriodicMeasurement
from lightly_core.engine.callbacks.signals import SignalsCallback
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.monitors import refuse_impossible_monitors
from lightly_core.errors import ConfigError, DataError
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


def open_val_source(settings: Settings) -> ImageSource | None:
    """Find the images of `val_data`; None if it is not set.

    Raises:
        DataError: There are no images.
    """
    if settings.run.val_data is None:
        return None
    transform = settings.transform
    try:
        return open_source(
            settings.run.val_data,
            num_channels=transform.source_channels,
            min_side=smallest_useful_side(transform.view_specs()),
            value_range=transform.value_range,
        )
    except DataError as error:
        raise DataError(f"config.val_data: {error}") from error


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
    why_not = "callbacks.knn is off"
    if args.knn is not None:
        labelled = LabelledProbe(source, args.knn, transform, seed=seed, val_source=val_source)
        if labelled.reason is not None:
            why_not, labelled = labelled.reason, None
    elif val_source is not None:
        raise ConfigError(
            "config.val_data: it is not used, since callbacks.knn is off; remove val_data, or "
            "switch callbacks.knn on"
        )
    linear = args.linear if labelled is not None and val_source is not None else None
    probes = Probes(args, signals, labelled, linear, resolved.method.spread_is_free)
    if labelled is None:
        why_no_linear = why_not
    else:
        why_no_linear = "it needs val_data" if val_source is None else "callbacks.linear is off"
    refuse_impossible_monitors(
        resolved,
        why_not={
            "signals": None if signals is not None else "callbacks.signals is off",
            "knn": None if labelled is not None else why_not,
            "linear": None if linear is not None else why_no_linear,
        },
    )
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
