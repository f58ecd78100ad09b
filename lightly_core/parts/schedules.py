"""Schedules as pure functions of the step, so that a resumed run needs no state of them.

Steps count from 0. The last of `total` steps is ``total - 1``. Later steps have the same value as
the last one.

Warm-ups start in two ways. A temperature or a momentum has its first value in step 0, as in the
papers. A learning rate starts one increment above zero, since a step at zero changes no weight.
"""

from __future__ import annotations

import math
from typing import Literal

Kind = Literal["constant", "linear", "cosine"]


def cosine(step: int, start: float, end: float, total: float) -> float:
    """Return a value between `start` and `end` on half a period of a cosine.

    Args:
        step: Steps taken so far, >= 0.
        start: Value of step 0, if there is more than one step.
        end: Value of step ``total - 1`` and of all later ones.
        total: Number of steps, >= 0. It may exceed the length of the run.
    """
    weight = (1 + math.cos(math.pi * _progress(step, total))) / 2
    return end + (start - end) * weight


def linear(step: int, start: float, end: float, total: float) -> float:
    """Return a value between `start` and `end` on a straight line. Arguments as in `cosine`."""
    return end + (start - end) * (1 - _progress(step, total))


def scheduled(
    step: int,
    total: int,
    *,
    kind: Kind,
    start: float,
    end: float,
    warmup_steps: int = 0,
    warmup_start: float | None = 0.0,
) -> float:
    """Return a value of a linear warm-up to `start`, followed by a schedule from `start` to `end`.

    Both the last step of the warm-up and the step after it have the value `start`. A run that is
    no longer than its warm-up therefore still reaches it.

    Args:
        step: Steps taken so far, >= 0.
        total: Steps of the run, >= 0.
        kind: Schedule from `start` to `end`. ``constant`` stays at `start`.
        start: Value after the warm-up.
        end: Value of the run's last step, not used by ``constant``.
        warmup_steps: Steps of the warm-up, >= 0. A warm-up that is longer than the run is
            shortened to the run. Use `capped_warmup` to shorten it further.
        warmup_start: Value of step 0 if the warm-up has more than one step. None: the warm-up
            rises from ``start / warmup_steps`` in step 0, in equal increments.

    Raises:
        ValueError: `kind` is unknown.
    """
    warmup = min(warmup_steps, total)
    if step < warmup:
        if warmup_start is None:
            return start * (step + 1) / warmup
        return linear(step, warmup_start, start, warmup)
    if kind == "constant":
        return start
    if kind == "linear":
        return linear(step - warmup, start, end, total - warmup)
    if kind == "cosine":
        return cosine(step - warmup, start, end, total - warmup)
    raise ValueError(f"expected 'constant', 'linear' or 'cosine', got {kind!r}")


def warmup_cosine(
    step: int, *, warmup_steps: int, total_steps: int, final_fraction: float
) -> float:
    """Return the learning rate of a step as a fraction of the peak.

    It is `scheduled` with a warm-up to 1 and a cosine to `final_fraction`, with these differences:

    - Step 0 of the warm-up has ``1 / warmup_steps`` and not 0, or no weight would change in it.
    - A warm-up that is longer than the run is not shortened. A short run takes the first part of
      the warm-up and does not reach the peak.
    - A run of a single step uses the peak and not the final value.

    Args:
        step: Optimizer steps taken so far, >= 0. Steps from `total_steps` on have the last value.
        warmup_steps: Steps of the warm-up, >= 0.
        total_steps: Steps of the run, >= 0.
        final_fraction: Fraction of the peak in the last step, in [0, 1].

    Returns:
        A factor in [0, 1].
    """
    if total_steps <= 1:
        return 1.0
    return scheduled(
        max(0, min(step, total_steps - 1)),
        max(total_steps, warmup_steps),
        kind="cosine",
        start=1.0,
        end=final_fraction,
        warmup_steps=warmup_steps,
        warmup_start=None,
    )


def capped_warmup(wanted: int, total: int, fraction: float) -> int:
    """Limit a warm-up, or a period of freezing, to a fraction of the run.

    Papers give numbers of steps for runs of 100,000 steps and more. A short run needs fewer.

    Args:
        wanted: Steps for a long run, >= 0.
        total: Steps of this run, >= 0.
        fraction: Largest fraction of the run, in [0, 1].

    Returns:
        The smaller of `wanted` and ``fraction * total``, rounded down.

    Raises:
        ValueError: An argument is out of range.
    """
    if wanted < 0 or total < 0 or not 0 <= fraction <= 1:
        raise ValueError(
            "expected wanted >= 0, total >= 0 and fraction in [0, 1], got "
            f"wanted={wanted}, total={total} and fraction={fraction}"
        )
    # In whole millionths: 0.3 * 10 is below 3 in floating point.
    return min(wanted, total * round(fraction * 1_000_000) // 1_000_000)


def teacher_temperature(
    step: int,
    *,
    total: int,
    start: float,
    end: float,
    warmup_steps: int,
    max_fraction: float = 0.3,
) -> float:
    """Return the temperature of the teacher's softmax: a linear warm-up to `end`, then constant.

    A low temperature at the start keeps the outputs from becoming uniform
    (DINO, https://arxiv.org/abs/2104.14294, appendix D).

    Args:
        step: Steps taken so far, >= 0.
        total: Steps of the run, >= 0.
        start: Temperature of step 0, > 0.
        end: Temperature from the last step of the warm-up on, > 0.
        warmup_steps: Steps of the warm-up in a long run, >= 0.
        max_fraction: Largest fraction of the run for the warm-up, in [0, 1]. It lets a short run
            reach `end` too.
    """
    warmup = capped_warmup(warmup_steps, total, max_fraction)
    return scheduled(
        step,
        total,
        kind="constant",
        start=end,
        end=end,
        warmup_steps=warmup,
        warmup_start=start,
    )


def _progress(step: int, total: float) -> float:
    """Return the completed fraction of a schedule, in [0, 1]. It is 1 in the last step."""
    return min(1.0, step / (total - 1)) if total > 1 else 1.0
