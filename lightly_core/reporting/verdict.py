"""The result of a run in a sentence.

The rule, in this order:

1. The features have collapsed (`lightly_core.evaluation.collapse`): `COLLAPSED`.
2. No kNN accuracy before training: `UNLABELLED`. None after training: `UNMEASURED`.
3. The accuracy differs by more than two standard errors of the difference: `LEARNED` or `WORSE`.
4. Else: `UNCLEAR`.

`lightly_core.evaluation.uncertainty` describes the standard error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lightly_core.evaluation.uncertainty import (
    LEAST_CHANGE,
    STANDARD_ERRORS,
    difference_text,
    error_of_difference,
)


class Kind(Enum):
    """What a run has achieved."""

    LEARNED = "learned"
    WORSE = "got worse"
    UNCLEAR = "no clear change"
    COLLAPSED = "collapsed"
    UNLABELLED = "not measured: no labels"
    UNMEASURED = "not measured"


@dataclass(frozen=True)
class Outcome:
    """What was measured in a run.

    Attributes:
        before: kNN top-1 of the network before training, in [0, 1]; None: not measured.
        after: The same after training.
        num_query: Images that were classified; None: not known.
        collapse: Description of the collapse of the features; None if there is none.
        signals: Whether the features were measured without labels after training.
    """

    before: float | None = None
    after: float | None = None
    num_query: int | None = None
    collapse: str | None = None
    signals: bool = False


@dataclass(frozen=True)
class Verdict:
    """The result of a run.

    Attributes:
        kind: What the run has achieved.
        headline: The same as a short sentence.
        text: What was measured, in sentences.
        error: Standard error of the difference of the accuracies, in [0, 1]; None: not known.
    """

    kind: Kind
    headline: str
    text: str
    error: float | None = None


def judge(outcome: Outcome) -> Verdict:
    """Return the result of a run, by the rule at the top of this module."""
    before, after = outcome.before, outcome.after
    error = measured = None
    if before is not None and after is not None:
        measured = f"kNN top-1: {difference_text(before, after, outcome.num_query)}."
        if outcome.num_query:
            error = error_of_difference(before, after, outcome.num_query)
    if outcome.collapse is not None:
        sentence = f"{outcome.collapse[0].upper()}{outcome.collapse[1:]}."
        text = sentence if measured is None else f"{measured} {sentence}"
        return Verdict(Kind.COLLAPSED, "The features have collapsed", text, error)
    if before is None:
        return Verdict(Kind.UNLABELLED, "Accuracy was not measured", _without_labels(outcome))
    if after is None or measured is None:
        text = (
            f"kNN top-1 was {100 * before:.1f} % before training. The run did not measure it again."
        )
        return Verdict(Kind.UNMEASURED, "Accuracy after training was not measured", text)
    return _compared(after - before, measured, error)


def _compared(gain: float, measured: str, error: float | None) -> Verdict:
    limit = 0.0 if error is None else STANDARD_ERRORS * error
    if abs(gain) <= limit or gain == 0:
        if error is None:
            return Verdict(Kind.UNCLEAR, "No clear change", measured, error)
        text = f"{measured} The difference is within two standard errors."
        if limit > LEAST_CHANGE:
            text += " More labelled images would show a smaller difference."
            return Verdict(Kind.UNCLEAR, "Too few images to tell whether it learned", text, error)
        return Verdict(Kind.UNCLEAR, "No clear change", text, error)
    if gain > 0:
        return Verdict(Kind.LEARNED, "The network learned", measured, error)
    return Verdict(Kind.WORSE, "The features got worse", measured, error)


def _without_labels(outcome: Outcome) -> str:
    if outcome.signals:
        return (
            "The images have no labels, or the kNN is off. The features did not collapse. Their "
            "dispersion and rank, and the maps below, show how they changed."
        )
    return (
        "The images have no labels, or the kNN is off, and the features were not measured after "
        "training."
    )
