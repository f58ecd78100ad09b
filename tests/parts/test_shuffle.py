import itertools

import pytest
import torch
from torch import nn

from lightly_core.parts.shuffle import forward_in_groups


def images(count=7):
    return torch.arange(float(count))[:, None, None, None].expand(-1, 3, 2, 2)


class Noting:
    """Hands back the number of each image and notes the groups."""

    def __init__(self):
        self.groups = []

    def __call__(self, x):
        self.groups.append(x[:, 0, 0, 0].int().tolist())
        return x[:, 0, 0, 0]


@pytest.mark.parametrize("num_groups", [1, 2, 3, 7])
def test_every_image_is_in_one_group_and_the_order_is_kept(num_groups):
    function = Noting()
    assert forward_in_groups(function, images(), num_groups).tolist() == list(range(7))
    assert sorted(itertools.chain(*function.groups)) == list(range(7))
    sizes = [len(group) for group in function.groups]
    assert len(sizes) == num_groups
    assert max(sizes) - min(sizes) <= 1


def test_groups_are_drawn_anew_from_the_global_generator():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        function = Noting()
        forward_in_groups(function, images(), 3)
        drawn.append(function.groups)
    assert drawn[0] == drawn[1] != drawn[2]


def test_one_group_draws_nothing_and_copies_nothing():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    seen = []
    given = images()
    forward_in_groups(lambda x: seen.append(x) or x, given, 1)
    assert seen[0] is given
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num_groups", [1, 3])
def test_several_tensors_by_name_come_back_alike(num_groups):
    result = forward_in_groups(
        lambda x: {"map": x, "mean": x.mean((1, 2, 3))}, images(), num_groups
    )
    assert torch.equal(result["map"], images())
    assert torch.equal(result["mean"], torch.arange(7.0))


def test_batch_norm_sees_one_group_at_a_time():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 4, 4, generator=generator)
    norm = nn.BatchNorm2d(3, affine=False)
    torch.manual_seed(0)
    result = forward_in_groups(norm, x, 2)
    torch.manual_seed(0)
    for group in torch.randperm(8).chunk(2):
        torch.testing.assert_close(result[group], norm(x[group]))


@pytest.mark.parametrize("num_groups", [0, 8])
def test_impossible_numbers_of_groups_are_refused(num_groups):
    with pytest.raises(ValueError, match=f"1 to 7 groups of images, got {num_groups}"):
        forward_in_groups(Noting(), images(), num_groups)


def test_no_value_is_read_from_the_device():
    assert forward_in_groups(lambda x: x, images().to("meta"), 3).shape == (7, 3, 2, 2)
