"""Whether features have collapsed, told from a series of signals and said in plain words.

Two ways of collapse are known, and seen by different numbers:

- All images get nearly the same feature: the spread of the directions falls.
- The features tell images apart along one line only: the number of effective dimensions falls,
  while the spread, and RankMe too, may even grow.

No threshold on one number alone works. Features of untrained networks lie close together as well
(spread near 0.1, RankMe below 5), so a number must be small in itself *and* a small part of the
largest that the run has seen. docs/running.md lists the runs from which the limits were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lightly_core.evaluation.signals import Signals

#: Fewer images say too little.
LEAST_IMAGES = 32


class Kind(Enum):
    """The ways of collapse."""

    SAME = "same"
    LINE = "line"


@dataclass(frozen=True)
class Limit:
    """Where a number is too small.

    Attributes:
        value: It must be below this,
        share: and below this part of the largest so far.
        recovery: A collapse is over when the number has this many times left both.
    """

    value: float
    share: float
    recovery: float = 1.5

    def is_below(self, number: float, largest: float, *, collapsed: bool) -> bool:
        """Tell whether a number is too small; a collapsed one has further to go back."""
        factor = self.recovery if collapsed else 1.0
        return number < factor * self.value and number < factor * self.share * largest


#: Of the spread, see `embedding_std`.
SPREAD = Limit(value=0.1, share=0.3)
#: The same where the loss does not act on pooled features, as in masked prediction: a part
#: that is common to all images then grows freely, while neighbours stay who they were.
FREE_SPREAD = Limit(value=0.005, share=0.02)
#: Of the effective dimensions, see `num_directions`.
DIRECTIONS = Limit(value=2.0, share=0.3)


@dataclass(frozen=True)
class Collapse:
    """What is wrong.

    Attributes:
        kind: Which way of collapse.
        text: What was seen and what to do, for the user.
    """

    kind: Kind
    text: str


def find_collapse(series: Sequence[Signals], spread_limit: Limit = SPREAD) -> Collapse | None:
    """Tell whether the features of the newest look have collapsed.

    Args:
        series: All looks of a run, the first at the network as it came in.
        spread_limit: `SPREAD`, or `FREE_SPREAD`.

    Returns:
        What is wrong; None where nothing is, and where there are fewer than two looks or fewer than
        32 images to judge by.
    """
    found: Kind | None = None
    spread = directions = 0.0
    for place, signals in enumerate(series):
        spread = max(spread, signals.std)
        directions = max(directions, signals.directions)
        if place and signals.num_images >= LEAST_IMAGES:
            found = _kind(signals, spread, directions, found, spread_limit)
    if found is None:
        return None
    text = _same(series[-1], spread) if found is Kind.SAME else _line(series[-1], directions)
    return Collapse(found, text)


def _kind(
    signals: Signals, spread: float, directions: float, was: Kind | None, spread_limit: Limit
) -> Kind | None:
    if spread_limit.is_below(signals.std, spread, collapsed=was is Kind.SAME):
        return Kind.SAME
    if DIRECTIONS.is_below(signals.directions, directions, collapsed=was is Kind.LINE):
        return Kind.LINE
    return None


def _same(signals: Signals, largest: float) -> str:
    return (
        "the features have collapsed: all images get nearly the same one. Their spread "
        f"(embedding/std) is {signals.std:.3f}, in this run it was up to {largest:.3f}; 1 would be "
        f"even. {_REMEDY}"
    )


def _line(signals: Signals, largest: float) -> str:
    return (
        f"the features have collapsed: of their {signals.feature_dim} dimensions only about "
        f"{max(signals.directions, 1):.1f} tell images apart (rank/effective), in this run it was "
        f"up to {largest:.1f}. {_REMEDY}"
    )


_REMEDY = (
    "The network finds it easier to make images alike than to tell what is in them, and rarely "
    "recovers. Try a smaller optim_args.lr or a longer optim_args.warmup_epochs first, then larger "
    "batches; look at the method's temperature and at the momentum of its teacher (closer to 1); "
    "in a method of your own, at a missing stop-gradient (detach) on the target"
)
