"""Masks as each method draws them, and that the backbone sees nothing of what they hide."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from lightly_methods.masked.capi import InverseBlock
from lightly_methods.masked.ijepa import TargetBlocks
from lightly_methods.masked.msn import AnchorPatches
from lightly_methods.masked.patches import RandomSplit
from lightly_methods.masked.simmim import CellMask

GRIDS = [(4, 4), (14, 14), (7, 12)]


def drawn(make, count=20):
    return [make(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ratio", [0.15, 0.6, 0.75])
def test_a_random_split_has_each_patch_once_and_a_fixed_size(grid, ratio):
    size = grid[0] * grid[1]
    splits = drawn(RandomSplit(grid, ratio))
    for one in splits:
        assert size * ratio <= len(one["hidden"]) < size * ratio + 1
        assert sorted([*one["keep"].tolist(), *one["hidden"].tolist()]) == list(range(size))
        assert one["keep"].dtype == one["hidden"].dtype == torch.int64
    assert len({tuple(one["hidden"].tolist()) for one in splits}) > 10


@pytest.mark.parametrize("grid", GRIDS)
def test_all_patches_are_hidden_equally_often_in_the_mean(grid):
    counts = torch.zeros(grid[0] * grid[1])
    for one in drawn(RandomSplit(grid, 0.75), 400):
        counts[one["hidden"]] += 1
    assert (counts / 400 - 0.75).abs().max() < 0.12


def test_cells_are_hidden_as_a_whole():
    for one in drawn(CellMask((14, 14), 0.6, 2)):
        cells = one["mask"].reshape(7, 2, 7, 2).float().mean(dim=(1, 3))
        assert set(cells.flatten().tolist()) == {0.0, 1.0}
        assert cells.sum() == 30


@pytest.mark.parametrize("num_anchors", [1, 3])
def test_each_anchor_keeps_patches_of_its_own(num_anchors):
    for one in drawn(AnchorPatches(RandomSplit((14, 14), 0.3), num_anchors)):
        assert one["keep"].shape == (num_anchors, 196 - 59)
        rows = {tuple(row) for row in one["keep"].tolist()}
        assert len(rows) == num_anchors


@pytest.mark.parametrize("grid", GRIDS)
def test_no_target_is_in_the_context(grid):
    size = grid[0] * grid[1]
    for one in drawn(TargetBlocks(grid, 4, 0.175, 0.25)):
        assert one["keep"].shape == (round(0.25 * size),)
        assert one["targets"].shape == (4, round(0.175 * size))
        assert not set(one["keep"].tolist()) & set(one["targets"].flatten().tolist())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("num_predicted", [1, 5])
def test_predicted_patches_are_some_of_the_hidden_ones(grid, num_predicted):
    size = grid[0] * grid[1]
    places = set()
    for one in drawn(InverseBlock(grid, 0.65, num_predicted)):
        assert one["keep"].shape == (size - round(0.65 * size),)
        predict = one["predict"].tolist()
        assert len(set(predict)) == num_predicted
        assert not set(one["keep"].tolist()) & set(predict)
        places |= set(predict)
    assert len(places) > num_predicted


@pytest.mark.parametrize("name", ["mae", "simmim", "msn", "pmsn", "ijepa", "capi"])
def test_what_draws_masks_can_be_sent_to_a_worker_and_follows_its_generator(make_case, name):
    make = make_case(name).build().sample_extras()
    sent = pickle.loads(pickle.dumps(make))
    first, second, other = (
        m(np.random.default_rng(s)) for m, s in ((make, 3), (sent, 3), (make, 4))
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def hidden_of(extras):
    """Return which of the 16 patches the student does not see, (B, 16)."""
    if "mask" in extras:
        return extras["mask"]
    keep = extras["keep"].reshape(len(extras["keep"]), -1)  # MSN has one anchor with a mask
    return torch.ones(len(keep), 16, dtype=torch.bool).scatter(1, keep, False)


@pytest.mark.parametrize("name", ["mae", "simmim", "msn", "pmsn", "ijepa", "capi"])
def test_hidden_pixels_do_not_reach_the_student(make_case, name):
    case = make_case(name)
    method, batch = case.build().eval(), case.batch()
    place = 1 if name in ("msn", "pmsn") else 0
    pixels = hidden_of(batch.extras).reshape(-1, 1, 4, 4).float()
    pixels = torch.nn.functional.interpolate(pixels, scale_factor=8).bool()
    assert 0 < pixels.float().mean() < 1

    def seen(view):
        """Return all that the student's backbone computes."""
        found = []
        forward = type(method.model).forward_tokens

        def listen(*args, **kwargs):
            tokens = forward(method.model, *args, **kwargs)
            found.extend(tokens.values())
            return tokens

        method.model.forward_tokens = listen
        views = [*batch.views[:place], view, *batch.views[place + 1 :]]
        loss = method.training_step(replace(batch, views=views), 0).loss
        del method.model.forward_tokens
        return found, loss

    view = batch.views[place]
    before, loss = seen(view)
    after, other = seen(torch.where(pixels, view + 1.0, view))
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    if place == 0:  # the targets did change
        assert loss != other or name == "mae"  # normalised pixels have no mean
    # What is visible does reach it.
    changed, _ = seen(torch.where(pixels, view, view + torch.randn(8, 3, 1, 1)))
    assert not all(torch.equal(a, b) for a, b in zip(before, changed, strict=True))
