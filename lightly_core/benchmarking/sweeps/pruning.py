"""Which trials are stopped early.

The rules know measurements only, no clock, so the same measurements give the same decision.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from lightly_core.benchmarking.sweeps.trial import Points, Trial
from lightly_core.config.options.sweep import SweepArgs

#: A rung of successive halving has this many times the epochs of the one below, and this part
#: of the trials goes on. As in Hyperband, https://arxiv.org/abs/1603.06560, section 2.6.
REDUCTION = 3


def pruned_at(
    points: Points,
    others: Sequence[Trial],
    args: SweepArgs,
    *,
    maximize: bool,
    last_epoch: int,
) -> int | None:
    """Return the epoch after which a trial is to be stopped; None: it goes on.

    Args:
        points: Measurements of the trial so far, in the order of the epochs. A value that is not
            finite is the worst.
        others: The other trials. Only those that have ended count.
        args: The rule, and where it begins.
        maximize: Whether larger values are better.
        last_epoch: Epochs of the trial. Its last measurement stops nothing.
    """
    finished = [trial for trial in others if trial.state == "finished"]
    if args.pruner == "none" or len(finished) < max(1, args.startup_trials):
        return None
    sign = 1.0 if maximize else -1.0
    own = _signed(points, sign)
    known = {
        "median": [_signed(trial.points, sign) for trial in finished],
        "halving": [
            _signed(trial.points, sign) for trial in others if trial.state in ("finished", "pruned")
        ],
    }[args.pruner]
    for count in range(1, len(own) + 1):
        epoch = own[count - 1][0]
        if not args.warmup_epochs <= epoch < last_epoch:
            continue
        if args.pruner == "median":
            stop = below_median(own[:count], known)
        else:
            stop = halved(own[:count], known, args.warmup_epochs)
        if stop:
            return epoch
    return None


def below_median(points: Points, others: Sequence[Points]) -> bool:
    """Return whether the best value so far is below the median of the others at this epoch.

    Vizier's median stopping rule, https://doi.org/10.1145/3097983.3098043, in the form of
    ``optuna.pruners.MedianPruner``.

    Args:
        points: Measurements of the trial up to now; larger is better.
        others: Those of the trials that have finished.
    """
    epoch = points[-1][0]
    same = [value for other in others for at, value in other if at == epoch]
    return bool(same) and max(value for _, value in points) < statistics.median(same)


def halved(points: Points, others: Sequence[Points], least: int) -> bool:
    """Return whether a trial is not in the best third of those that came to the same rung.

    Asynchronous successive halving, https://arxiv.org/abs/1810.05934, in the form of
    ``optuna.pruners.SuccessiveHalvingPruner``. Rung k is at ``least * REDUCTION**k`` epochs.

    Args:
        points: Measurements of the trial up to now; larger is better.
        others: Those of the trials that have ended, also of stopped ones.
        least: Epochs of the first rung.
    """
    epoch, value = points[-1]
    before = points[-2][0] if len(points) > 1 else 0
    rung = least
    while rung <= epoch:
        if before < rung:  # not decided at an earlier measurement
            reached = [_at(other, rung) for other in others]
            competing = sorted([value, *(other for other in reached if other is not None)])
            if value < competing[-max(1, len(competing) // REDUCTION)]:
                return True
        rung *= REDUCTION
    return False


def _at(points: Points, epoch: int) -> float | None:
    """Return the first value from an epoch on."""
    return next((value for at, value in points if at >= epoch), None)


def _signed(points: Points, sign: float) -> Points:
    """Return points whose larger values are better."""
    return tuple(
        (epoch, sign * value if math.isfinite(value) else -math.inf) for epoch, value in points
    )
