"""Check that the monitored metrics of a run exist."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from lightly_core.config.reading.load import Settings
from lightly_core.errors import ConfigError, did_you_mean

logger = logging.getLogger(__name__)

#: Metrics that are fractions of the classified images, by callback.
ACCURACIES = {"knn": ("knn/top1", "knn/top5"), "linear": ("linear/top1", "linear/top5")}
#: Metrics of the callbacks that measure the features, by callback.
_FEATURE_METRICS = {"signals": ("embedding/std", "rank/rankme", "rank/effective"), **ACCURACIES}
#: Metrics that a callback switches on or off, by callback.
_OPTIONAL_METRICS = {
    "learning_rate_monitor": ("lr",),
    "device_stats_monitor": ("memory/process_gib", "memory/device_gib"),
}
#: Metrics of every method.
_COMMON_METRICS = ("train_loss", "grad_norm")
#: Metrics that do not describe the network. They cannot be monitored.
NOT_MONITORED = ("images_per_second", "data_wait", "epoch")


def refuse_impossible_monitors(settings: Settings, why_not: Mapping[str, str | None]) -> None:
    """Refuse to monitor a metric that will not be logged; warn if this is not known.

    Args:
        settings: The settings of the run.
        why_not: For each callback that measures the features, why it will log no metrics; None if
            it will.

    Raises:
        ConfigError: Names every such monitor.
    """
    problems = []
    for name, monitor in _monitors(settings):
        text = _problem(monitor, settings, why_not)
        if text is not None:
            problems.append(f"config.callbacks.{name}.monitor: {text}")
    if problems:
        raise ConfigError.of(problems)


def known_metrics(settings: Settings, why_not: Mapping[str, str | None]) -> list[str]:
    """Return the metrics that can be monitored in a run, as far as their names are known."""
    callbacks = settings.callbacks
    names = [*_COMMON_METRICS]
    for callback, metrics in _OPTIONAL_METRICS.items():
        names += metrics if getattr(callbacks, callback) is not None else ()
    for callback, metrics in _FEATURE_METRICS.items():
        names += metrics if why_not[callback] is None else ()
    return [*names, *(settings.method.metric_names() or ())]


def _monitors(settings: Settings) -> Iterator[tuple[str, str]]:
    checkpoint, stopping = settings.callbacks.model_checkpoint, settings.callbacks.early_stopping
    if checkpoint is not None and checkpoint.monitor is not None:
        yield "model_checkpoint", checkpoint.monitor
    if stopping is not None and stopping.patience is not None:
        yield "early_stopping", stopping.monitor


def _problem(monitor: str, settings: Settings, why_not: Mapping[str, str | None]) -> str | None:
    """Return why a metric cannot be monitored; None if it can."""
    known = known_metrics(settings, why_not)
    if monitor in known:
        return None
    for callback, metrics in _FEATURE_METRICS.items():
        if monitor in metrics:
            return f"there will be no '{monitor}' in this run: {why_not[callback]}"
    if monitor in NOT_MONITORED:
        return f"'{monitor}' does not describe the network; known: {', '.join(known)}"
    for callback, metrics in _OPTIONAL_METRICS.items():
        if monitor in metrics:
            return f"there will be no '{monitor}' in this run: callbacks.{callback} is off"
    meant = did_you_mean(monitor, known)
    hint = f"{meant} " if meant else ""
    text = f"there is no metric '{monitor}', {hint}known: {', '.join(known)}"
    groups = {
        metric.partition("/")[0] for metrics in _FEATURE_METRICS.values() for metric in metrics
    }
    sources = _unknown_sources(settings)
    if not sources or monitor.partition("/")[0] in groups:
        return text
    logger.warning(
        "Callbacks monitor '%s', which is not known before the run; it may come from %s. Known: %s",
        monitor,
        " or ".join(sources),
        ", ".join(known),
    )
    return None


def _unknown_sources(settings: Settings) -> list[str]:
    """Return the sources of metrics whose names are not known before the run."""
    sources = []
    if settings.method.metrics is None:
        sources.append(
            f"the method '{settings.method_record.name}', which does not declare its metrics"
        )
    if (settings.run.trainer_args or {}).get("callbacks"):
        sources.append("trainer_args.callbacks")
    return sources
