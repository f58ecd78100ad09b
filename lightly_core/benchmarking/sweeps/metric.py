"""Checks the metric of a sweep against what its runs will measure. No torch here."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.callbacks import ModelCheckpointArgs
from lightly_core.data.base import ImageSource
from lightly_core.engine.measured import check_images
from lightly_core.errors import ConfigError

#: Metrics of the callbacks that measure every few epochs, by the first part of their name.
_CALLBACKS = {"knn": "knn", "linear": "knn", "rank": "signals", "embedding": "signals"}


def check_metric(
    resolved: Resolved,
    metric: str,
    open_images: Callable[[object], ImageSource],
) -> None:
    """Refuse a metric that a run will not log.

    Args:
        resolved: Settings without "auto".
        metric: Its name.
        open_images: Opens the images of `data` or `val_data`.

    Raises:
        ConfigError: There is no such metric, or the images have no labels for it.
        DataError: The labels of `val_data` cannot be used.
    """
    checkpoint = resolved.callbacks.model_checkpoint or ModelCheckpointArgs()
    # What can rank the checkpoints of a run can rank its trials.
    watched = evolve(resolved.callbacks, model_checkpoint=evolve(checkpoint, monitor=metric))
    val_data = resolved.run.val_data
    val_source = None if val_data is None else open_images(val_data)
    try:
        check_images(
            evolve(resolved, callbacks=watched), open_images(resolved.run.data), val_source
        )
    except ConfigError as error:
        monitor = "config.callbacks.model_checkpoint.monitor: "
        texts = [text.replace(monitor, "sweep.metric: ") for text in error.problems]
        raise ConfigError.of(texts) from None


def never_pruned(resolved: Resolved, metric: str) -> str:
    """Return a note if the metric is not measured between the first epoch and the last one."""
    name = _CALLBACKS.get(metric.partition("/")[0])
    if name is None:
        return ""
    every = getattr(getattr(resolved.callbacks, name), "every_n_epochs", None)
    if isinstance(every, int) and every < int(resolved.run.epochs):
        return ""
    return (
        f"no trial is stopped early, as '{metric}' is measured before and after training only; set "
        f'run.callbacks.{name}.every_n_epochs, or pruner = "none"'
    )
