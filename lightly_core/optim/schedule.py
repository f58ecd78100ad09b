"""Values that change with the step. Steps count from 0; the last of `total` steps is total - 1."""

from __future__ import annotations

from lightly_core.parts.schedules import cosine, linear

__all__ = ["cosine", "linear", "warmup_cosine"]


def warmup_cosine(
    step: int, *, warmup_steps: int, total_steps: int, final_fraction: float
) -> float:
    """Return the share of the peak learning rate that is used in a step.

    It rises linearly, ``(step + 1) / warmup_steps``, to 1 in the last step of the warm-up, and
    then falls along half a cosine from 1 in the step after the warm-up to `final_fraction` in the
    last step of the run. Warm-up goes before: a run that is no longer than its warm-up only rises.
    A run of a single step uses the peak.

    Args:
        step: Optimizer steps taken so far, >= 0; from `total_steps` on the last value stays.
        warmup_steps: Steps of the warm-up, >= 0.
        total_steps: Steps of the run, >= 0.
        final_fraction: Share of the peak in the last step, in [0, 1].

    Returns:
        A factor in [0, 1].
    """
    if total_steps <= 1:
        return 1.0
    last_step = max(0, min(step, total_steps - 1))
    if last_step < warmup_steps:
        return (last_step + 1) / warmup_steps
    return cosine(last_step - warmup_steps, 1.0, final_fraction, total_steps - warmup_steps)
