"""The choice of a method, from evidence that is made up."""

import math

import pytest
from attrs import evolve

from lightly_core.advising.choice import Facts, choose, nearness
from lightly_core.advising.evidence import Case, Result, Row

SMALL = Case(name="small", data_set="D", images=1_000, side=32, model="a", network="convolutional")
LARGE = evolve(SMALL, name="large", images=8_000, side=64)
FACTS = Facts(
    images=1_500,
    side=32,
    model="own",
    network="convolutional",
    methods=frozenset("abcd"),
    costs={"a": 1.0, "b": 2.0, "c": 0.5},
)


def row(method, knn, *, case=SMALL, seen=50_000, recipe="small", untrained=20.0, num_test=10_000):
    result = Result(
        case=case.name, images_seen=seen, method=method, recipe=recipe, seed=0,
        untrained=untrained, knn=knn, untrained_linear=1.0, linear=2.0, num_test=num_test,
        minutes=1.0, commit="0e12345",
    )  # fmt: skip
    return Row(case, (result,))


def error(first, second, num_test):
    """The standard error of a difference, in points, by the formula of Agresti and Caffo."""
    total = 0.0
    for accuracy in (first / 100, second / 100):
        p = (accuracy * num_test + 1) / (num_test + 2)
        total += p * (1 - p) / (num_test + 2)
    return 100 * math.sqrt(total)


def chosen(evidence, facts=FACTS, **more):
    return choose(evidence, facts, **more).row


def test_the_best_of_the_nearest_case_is_taken():
    evidence = [row("a", 30.0), row("b", 35.0), row("c", 90.0, case=LARGE)]
    choice = choose(evidence, FACTS)
    assert choice.row is evidence[1]
    assert choice.rivals == (evidence[0],)
    assert not choice.is_short


def test_evidence_of_grey_images_is_for_grey_images():
    grey = evolve(SMALL, name="grey", images=1_500, pixels="grey")
    evidence = [row("a", 30.0), row("b", 90.0, case=grey)]
    assert chosen(evidence) is evidence[0]
    assert chosen(evidence, evolve(FACTS, pixels="grey")) is evidence[1]
    assert chosen(evidence[1:]) is evidence[1]  # better than none


def test_within_one_standard_error_the_cheaper_method_is_taken():
    one = error(35.0, 34.5, 10_000)
    assert 0.6 < one < 0.7  # 0.7 where it is rounded up to a tenth
    assert chosen([row("b", 35.0), row("a", 34.5)]).method == "a"
    assert chosen([row("b", 35.0), row("a", 34.31)]).method == "a"
    assert chosen([row("b", 35.0), row("a", 34.25)]).method == "b"
    # With few test images the error is larger.
    few = error(35.0, 25.0, 40)
    assert few > 10
    assert chosen([row("b", 75.0, num_test=40), row("a", 68.0, num_test=40)]).method == "a"


def test_of_equal_costs_the_better_row_is_taken_and_an_unknown_cost_is_the_largest():
    equal = [row("a", 34.8, recipe="paper"), row("a", 35.0)]
    assert chosen(equal).recipe == "small"
    assert chosen([row("d", 35.0), row("b", 34.8)]).method == "b"


def test_a_method_that_may_not_be_chosen_is_passed_over():
    evidence = [row("a", 30.0), row("b", 35.0)]
    assert chosen(evidence, evolve(FACTS, methods=frozenset("a"))).method == "a"
    assert choose(evidence, evolve(FACTS, methods=frozenset("z"))).nearest is None


def test_a_row_that_has_not_learned_is_no_evidence():
    # Two standard errors are 1.2 points.
    assert 2 * error(20.0, 21.0, 10_000) < 1.2
    choice = choose([row("b", 20.5), row("a", 21.0)], FACTS)
    assert choice.row is None
    assert choice.nearest.method == "a"
    assert chosen([row("a", 21.5)]).method == "a"


@pytest.mark.parametrize(
    ("facts", "is_near"),
    [
        ({}, True),
        ({"images": 4_000}, True),
        ({"images": 4_001}, False),
        ({"images": 250}, True),
        ({"images": 249}, False),
        ({"side": 64}, True),
        ({"side": 65}, False),
        ({"side": 16}, True),
        ({"network": "transformer"}, False),
        ({"network": None}, False),
        ({"images": 10_000_000}, False),
    ],
)
def test_a_case_that_is_far_away_is_no_evidence(facts, is_near):
    choice = choose([row("a", 30.0)], evolve(FACTS, **facts))
    assert (choice.row is not None) == is_near
    assert choice.nearest is not None


def test_nearness_is_told_in_factors():
    near = nearness(SMALL, evolve(FACTS, images=3_000, side=16, network="transformer"))
    assert (near.images, near.side, near.same_network, near.same_model) == (3.0, 2.0, False, False)


def test_of_equally_near_cases_that_of_the_same_network_is_taken():
    other = evolve(SMALL, name="other", model="own")
    evidence = [row("a", 30.0), row("b", 25.0, case=other)]
    assert chosen(evidence).method == "b"
    assert chosen(evidence, evolve(FACTS, model="a")).method == "a"
    assert chosen(evidence, evolve(FACTS, model="neither")).method == "a"  # the first


def test_rows_are_compared_at_the_budget_that_most_methods_have():
    evidence = [
        row("a", 30.0),
        row("b", 35.0),
        row("a", 40.0, seen=200_000),
        row("a", 50.0, seen=200_000, recipe="paper"),
    ]
    assert chosen(evidence).images_seen == 50_000
    evidence.append(row("b", 38.0, seen=200_000))
    assert (chosen(evidence).images_seen, chosen(evidence).recipe) == (200_000, "paper")


def test_the_time_leaves_out_longer_rows_and_too_little_of_it_is_told():
    evidence = [
        row(method, knn, seen=seen)
        for method, knn, seen in [("a", 30, 50_000), ("b", 36, 50_000), ("a", 42, 200_000),
                                  ("b", 41, 200_000)]
    ]  # fmt: skip
    assert chosen(evidence).method == "a"
    short = choose(evidence, FACTS, most_seen=100_000)
    assert (short.row.method, short.row.images_seen, short.is_short) == ("b", 50_000, False)
    shorter = choose(evidence, FACTS, most_seen=49_999)
    assert (shorter.row.images_seen, shorter.is_short) == (200_000, True)


def test_without_evidence_nothing_is_chosen():
    choice = choose([], FACTS)
    assert (choice.row, choice.nearest, choice.rivals) == (None, None, ())
