"""What the comparison of one process with several is made of, without another process."""

import pytest
import torch

from lightly_core.testing.parity import Parity


def outcome(loss):
    """What a process makes of a parameter that is 4 and has a gradient of 2."""
    state = {"weight": torch.tensor([4.0]), "empty": torch.tensor([torch.nan])}
    gradients = {"weight": torch.tensor([2.0]), "bias": torch.tensor([1e-9])}
    return {"losses": {"step 0": torch.tensor(loss)}, "gradients": gradients, "state": state}


def test_the_mean_of_the_losses_is_that_of_one_process_and_all_else_is_equal():
    parity = Parity(outcome(2.0), {2: (outcome(1.0), outcome(3.0)), 3: (outcome(2.0),) * 3})
    parity.check()
    assert parity.differences() == (0, 0, 0)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("part", "difference"), [("losses", 0.125), ("gradients", 0.25), ("state", 0.125)]
)
def test_a_difference_in_one_process_is_found(part, difference, rank):
    parity = Parity(outcome(2.0), {2: (outcome(2.0), outcome(2.0))})
    next(iter(parity.together[2][rank][part].values())).add_(0.5)
    assert getattr(parity.differences(), part) == difference
    assert sum(parity.differences()) == difference
    with pytest.raises(AssertionError, match=f"{part} of (step 0|weight) with 2 processes differ"):
        parity.check()


def test_rounding_errors_count_relative_to_the_largest_tensor():
    parity = Parity(outcome(2.0), {2: (outcome(2.0), outcome(2.0))})
    parity.together[2][1]["gradients"]["bias"].zero_()
    assert parity.differences().gradients == pytest.approx(1e-9 / 2e-3)


@pytest.mark.parametrize("wrong", [torch.tensor([torch.nan]), torch.tensor([4.0, 4.0])])
def test_nan_and_other_shapes_are_found(wrong):
    parity = Parity(outcome(2.0), {2: (outcome(2.0), outcome(2.0))})
    parity.together[2][0]["state"]["weight"] = wrong
    assert parity.differences().state == float("inf")


def test_what_one_process_lacks_is_found():
    parity = Parity(outcome(2.0), {2: (outcome(2.0), outcome(2.0))})
    parity.together[2][1]["state"]["queue"] = torch.zeros(1)
    with pytest.raises(AssertionError, match=r"state with 2 processes: .*queue"):
        parity.check()
    for one in (parity.alone, *parity.together[2]):
        one["gradients"].clear()
    with pytest.raises(AssertionError, match="no parameter got a gradient"):
        parity.check()
