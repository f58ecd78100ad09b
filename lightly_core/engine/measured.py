"""Checks which measurements of the features a run can make. No torch here."""

from __future__ import annotations

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.callbacks import LinearArgs
from lightly_core.data.base import ImageSource
from lightly_core.engine.monitors import refuse_impossible_monitors
from lightly_core.errors import ConfigError
from lightly_core.evaluation.plan import plan_images

KNN_IS_OFF = "callbacks.knn is off"


def check_measurements(
    resolved: Resolved, why_no_knn: str | None, *, has_val_data: bool
) -> LinearArgs | None:
    """Refuse settings that ask for a measurement which the run does not make.

    Args:
        resolved: Settings without "auto".
        why_no_knn: Why no kNN accuracy can be measured; None: it can.
        has_val_data: Whether `val_data` is set.

    Returns:
        The options of the linear classifier; None if it is not trained.

    Raises:
        ConfigError: `val_data` would not be used, or a monitored metric will not be logged.
    """
    args = resolved.callbacks
    if args.knn is None and has_val_data:
        raise ConfigError(
            "config.val_data: it is not used, since callbacks.knn is off; remove val_data, or "
            "switch callbacks.knn on"
        )
    linear = args.linear if why_no_knn is None and has_val_data else None
    why_no_linear = why_no_knn
    if why_no_knn is None and linear is None:
        why_no_linear = "callbacks.linear is off" if has_val_data else "it needs val_data"
    refuse_impossible_monitors(
        resolved,
        why_not={
            "signals": None if args.signals is not None else "callbacks.signals is off",
            "knn": why_no_knn,
            "linear": why_no_linear,
        },
    )
    return linear


def check_images(resolved: Resolved, source: ImageSource, val_source: ImageSource | None) -> None:
    """Make the check of `check_measurements` with the labels of the images.

    Args:
        resolved: Settings without "auto".
        source: The images.
        val_source: Those of `val_data`; None: it is not set.

    Raises:
        ConfigError: As `check_measurements`.
        DataError: The labels of `val_data` cannot be used.
    """
    args, why_not = resolved.callbacks.knn, KNN_IS_OFF
    if args is not None:
        seed = int(resolved.run.seed or 0)
        plan = plan_images(source, args, seed=seed, val_source=val_source)
        why_not = plan if isinstance(plan, str) else ""
    check_measurements(resolved, why_not or None, has_val_data=val_source is not None)
