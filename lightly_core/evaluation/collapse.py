"""Detects collapse of the features from a series of signals.

There are two kinds of collapse, which different signals detect:

- Complete collapse: all images get nearly the same features. The standard deviation of the
  normalised features falls.
- Dimensional collapse: the features differ along one line only. The number of effective
  dimensions falls, while the standard deviation and RankMe may even grow.

A threshold on one number does not suffice, since features of untrained networks are also close
together (standard deviation near 0.1, RankMe below 5). So a signal must be small in absolute terms
*and* compared with the largest value of the run. docs/is-it-learning.md lists the runs from which
the limits were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lightly_core.evaluation.signals import Signals

#: Minimum number of images for a reliable result.
MIN_IMAGES = 32


class Kind(Enum):
    """The kinds of collapse."""

    COMPLETE = "complete"
    DIMENSIONAL = "dimensional"


@dataclass(frozen=True)
class Limit:
    """Limit below which a signal indicates collapse.

    Attributes:
        value: The absolute limit.
        fraction: The limit as a fraction of the largest value so far. A signal must be below both.
        recovery: Factor on both limits while the features are collapsed: a collapse ends when the
            signal exceeds one of the raised limits.
    """

    value: float
    fraction: float
    recovery: float = 1.5

    def is_below(self, number: float, largest: float, *, collapsed: bool) -> bool:
        """Return whether a signal is below both limits, which are raised during a collapse."""
        factor = self.recovery if collapsed else 1.0
        return number < factor * self.value and number < factor * self.fraction * largest


#: For the standard deviation of the normalised features, see `embedding_std`.
STD_LIMIT = Limit(value=0.1, fraction=0.3)
#: The same for methods whose loss does not act on pooled features, as in masked prediction. There
#: a component that all images share may grow while the nearest neighbours stay the same.
FREE_STD_LIMIT = Limit(value=0.005, fraction=0.02)
#: For the number of effective dimensions, see `num_directions`.
DIRECTIONS_LIMIT = Limit(value=2.0, fraction=0.3)


@dataclass(frozen=True)
class Collapse:
    """A detected collapse.

    Attributes:
        kind: The kind of collapse.
        text: What was measured and what to do, for the user.
    """

    kind: Kind
    text: str


def find_collapse(series: Sequence[Signals], std_limit: Limit = STD_LIMIT) -> Collapse | None:
    """Check whether the features of the latest measurement have collapsed.

    Args:
        series: All measurements of a run; the first is that of the network before training.
        std_limit: `STD_LIMIT`, or `FREE_STD_LIMIT`.

    Returns:
        The collapse; None if there is none, or if there are fewer than two measurements or fewer
        than 32 images.
    """
    found: Kind | None = None
    std = directions = 0.0
    for number, signals in enumerate(series):
        std = max(std, signals.std)
        directions = max(directions, signals.directions)
        if number and signals.num_images >= MIN_IMAGES:
            found = _kind(signals, std, directions, found, std_limit)
    if found is None:
        return None
    last = series[-1]
    text = _complete(last, std) if found is Kind.COMPLETE else _dimensional(last, directions)
    return Collapse(found, text)


def _kind(
    signals: Signals, std: float, directions: float, previous: Kind | None, std_limit: Limit
) -> Kind | None:
    if std_limit.is_below(signals.std, std, collapsed=previous is Kind.COMPLETE):
        return Kind.COMPLETE
    dimensional = previous is Kind.DIMENSIONAL
    if DIRECTIONS_LIMIT.is_below(signals.directions, directions, collapsed=dimensional):
        return Kind.DIMENSIONAL
    return None


def _complete(signals: Signals, largest: float) -> str:
    return (
        "the features have collapsed: all images get nearly the same features. Their standard "
        f"deviation (embedding/std) is {signals.std:.3f}, after up to {largest:.3f} in this run; "
        f"1 is the value of evenly distributed features. {_REMEDY}"
    )


def _dimensional(signals: Signals, largest: float) -> str:
    return (
        f"the features have collapsed: of their {signals.feature_dim} dimensions only about "
        f"{max(signals.directions, 1):.1f} distinguish images (rank/effective), after up to "
        f"{largest:.1f} in this run. {_REMEDY}"
    )


_REMEDY = (
    "A collapsed network rarely recovers. Start again with a smaller optim_args.lr or a longer "
    "optim_args.warmup_epochs, then try larger batches. Check the method's temperature, the "
    "momentum of a teacher that is an average of the student (closer to 1), and whether a frozen "
    "teacher has trained weights. In a method of your own, check for a missing stop-gradient "
    "(detach) on the target"
)
