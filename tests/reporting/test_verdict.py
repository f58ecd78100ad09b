"""The verdict, against values worked out by hand."""

from dataclasses import replace

import pytest

from lightly_core.reporting.verdict import Kind, Outcome, judge


@pytest.mark.parametrize(
    ("before", "after", "num_query", "kind"),
    [
        # The standard error is about sqrt(0.5 / n): 0.071 of 98 images, 0.016 of 1998.
        (0.5, 0.5, 98, Kind.UNCLEAR),
        (0.5, 0.59, 98, Kind.UNCLEAR),
        (0.5, 0.65, 98, Kind.LEARNED),
        (0.5, 0.35, 98, Kind.WORSE),
        (0.5, 0.59, 1998, Kind.LEARNED),
        (1.0, 1.0, 5, Kind.UNCLEAR),  # without smoothing the error would be 0
        (0.5, 0.51, None, Kind.LEARNED),  # without a number of images there is no error
        (0.5, 0.5, None, Kind.UNCLEAR),
        (None, None, None, Kind.UNLABELLED),
        (0.5, None, 98, Kind.UNMEASURED),
    ],
)
def test_rule(before, after, num_query, kind):
    assert judge(Outcome(before, after, num_query)).kind is kind


def test_collapse_counts_before_everything_else():
    outcome = Outcome(0.2, 0.9, 1000, collapse="the features have collapsed: details")
    verdict = judge(outcome)
    assert verdict.kind is Kind.COLLAPSED
    assert "20.0 % before, 90.0 % after" in verdict.text
    assert "The features have collapsed: details." in verdict.text
    assert judge(replace(outcome, before=None)).kind is Kind.COLLAPSED


def test_text_has_the_accuracies_and_their_error():
    verdict = judge(Outcome(0.5, 0.6, 998))
    assert verdict.text == (
        "kNN top-1: 50.0 % before, 60.0 % after (+10.0 points, standard error 2.2; 998 images "
        "classified)."
    )


def test_few_images_and_a_small_difference_are_told_apart():
    few, many = judge(Outcome(0.5, 0.5, 98)), judge(Outcome(0.5, 0.5, 99_998))
    assert few.headline == "Too few images to tell whether it learned"
    assert many.headline == "No clear change"  # 0.2 points is the standard error


def test_without_labels_the_signals_are_named_if_they_were_measured():
    assert "did not collapse" in judge(Outcome(signals=True)).text
    assert "did not collapse" not in judge(Outcome(signals=False)).text
