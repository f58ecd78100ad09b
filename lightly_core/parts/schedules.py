"""Values that change with the step: pure functions, so that a resumed run needs no state of them.

Steps count from 0; the last of `total` steps is ``total - 1``. All of them keep their last value in
later steps.

Warm-ups start in two ways. A temperature or a momentum has its first value in step 0, as in the
papers. A learning rate starts one equal piece above zero, since a step at zero changes no weight.
"""

from __future__ import annotations

import math
from typing import Literal

Kind = Literal["constant", "linear", "cosine"]


def cosine(step: int, start: float, end: float, total: float) -> float:
    """Go from `start` to `end` along half a cosine: slowly, fast, slowly.

    Args:
        step: Steps taken so far, >= 0.
        start: Value of step 0, where there is more than one step.
        end: Value of step ``total - 1`` and of all later ones.
        total: Number of steps, >= 0; more than the run has where a schedule is stretched.
    """
    weight = (1 + math.cos(math.pi * _progress(step, total))) / 2
    return end + (start - end) * weight


def linear(step: int, start: float, end: float, total: float) -> float:
    """Go from `start` to `end` in equal pieces; arguments as in `cosine`."""
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
    """Rise or fall in a straight line to `start`, then go on to `end`.

    The warm-up has `start` in its last step, as the step after it: a run that is no longer than
    its warm-up still arrives there.

    Args:
        step: Steps taken so far, >= 0.
        total: Steps of the run, >= 0.
        kind: How it goes from `start` to `end`; ``constant`` stays at `start`.
        start: Value behind the warm-up.
        end: Value of the run's last step; without meaning for ``constant``.
        warmup_steps: Steps of the warm-up, >= 0; those beyond the run are cut, see
            `capped_warmup`.
        warmup_start: Value of step 0 where there is a warm-up of more than one step; None: step 0
            has ``start / warmup_steps``, and the others follow in equal pieces.

    Raises:
        ValueError: `kind` is another word.
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
    """Return the share of the peak learning rate that is used in a step.

    It is `scheduled` with a rise to 1 and half a cosine to `final_fraction`, except for what a
    learning rate needs:

    - Step 0 of the warm-up has ``1 / warmup_steps`` and not 0, or no weight would change in it.
    - A warm-up that is longer than the run is not cut: a short run takes the first part of the
      same rise and does not reach the peak.
    - A run of a single step uses the peak and not the final value.

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
    return scheduled(
        max(0, min(step, total_steps - 1)),
        max(total_steps, warmup_steps),
        kind="cosine",
        start=1.0,
        end=final_fraction,
        warmup_steps=warmup_steps,
        warmup_start=None,
    )


def capped_warmup(wanted: int, total: int, share: float) -> int:
    """Shorten a warm-up, or a time of freezing, that would take too much of a short run.

    Numbers of steps in papers are meant for runs of 100,000 and more.

    Args:
        wanted: Steps for a long run, >= 0.
        total: Steps of this run, >= 0.
        share: Largest part of the run, in [0, 1].

    Returns:
        The smaller of `wanted` and ``share * total``, rounded down.

    Raises:
        ValueError: An argument is out of its range.
    """
    if wanted < 0 or total < 0 or not 0 <= share <= 1:
        raise ValueError(
            "expected wanted >= 0, total >= 0 and share in [0, 1], got "
            f"wanted={wanted}, total={total} and share={share}"
        )
    # In whole millionths: 0.3 * 10 is below 3 in floating point.
    return min(wanted, total * round(share * 1_000_000) // 1_000_000)


def teacher_temperature(
    step: int,
    *,
    total: int,
    start: float,
    end: float,
    warmup_steps: int,
    max_share: float = 0.3,
) -> float:
    """Return the temperature of the teacher's softmax: a straight line to `end`, then constant.

    A sharp teacher at the beginning keeps the outputs from becoming uniform
    (DINO, https://arxiv.org/abs/2104.14294, appendix D).

    Args:
        step: Steps taken so far, >= 0.
        total: Steps of the run, >= 0.
        start: Temperature of step 0, > 0.
        end: Temperature from the warm-up's last step on, > 0.
        warmup_steps: Steps of the warm-up in a long run, >= 0.
        max_share: Largest part of the run that the warm-up may take, in [0, 1]: a short run
            reaches `end` too.
    """
    warmup = capped_warmup(warmup_steps, total, max_share)
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
    """Return the share of the way that is behind, in [0, 1]; 1 in the last step."""
    return min(1.0, step / (total - 1)) if total > 1 else 1.0
