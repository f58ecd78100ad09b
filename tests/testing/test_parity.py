"""What the comparison of one process with two is made of, without a second process."""

import copy

import pytest
import torch
from torch import nn

from lightly_core.testing.parity import Parity, _with_global_norms


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("norm", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (4, 3, 2, 5))]
)
def test_the_plain_form_of_a_batch_norm_is_that_of_torch(norm, shape, affine):
    torch.manual_seed(0)
    module = nn.Sequential(norm(3, eps=0.5, affine=affine)).double()
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 1, 2)
    images = torch.randn(shape, dtype=torch.float64)
    expected = module(images)
    torch.testing.assert_close(_with_global_norms(copy.deepcopy(module))(images), expected)


def outcome(loss):
    """What a process makes of a parameter that is 3 and has a gradient of 2."""
    state = {"weight": torch.tensor([3.0]), "empty": torch.tensor([torch.nan])}
    gradients = {"weight": torch.tensor([2.0])}
    return {"losses": {"all": torch.tensor(loss)}, "gradients": gradients, "state": state}


def test_the_mean_of_both_losses_is_that_of_one_process_and_all_else_is_equal():
    Parity(outcome([2.0, 4.0]), (outcome([1.0, 4.5]), outcome([3.0, 3.5]))).check()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("part", ["losses", "gradients", "state"])
def test_a_difference_in_one_process_is_found(part, rank):
    parity = Parity(outcome([2.0]), (outcome([2.0]), outcome([2.0])))
    next(iter(parity.together[rank][part].values()))[0] += 0.5
    with pytest.raises(AssertionError, match=r"not close|of weight differ by up to 0\.5"):
        parity.check()


def test_what_one_process_lacks_is_found():
    parity = Parity(outcome([2.0]), (outcome([2.0]), outcome([2.0])))
    parity.together[1]["state"]["queue"] = torch.zeros(1)
    with pytest.raises(AssertionError, match=r"state: .*queue"):
        parity.check()
    for one in (parity.alone, *parity.together):
        one["gradients"].clear()
    with pytest.raises(AssertionError, match="no parameter got a gradient"):
        parity.check()
