from itertools import chain

import numpy as np
import pytest

from lightly_core.data.sampler import StepSampler, epoch_order, windowed_order


def batches(sampler):
    return [[index for _, index in batch] for batch in sampler]


@pytest.mark.parametrize("size", [1, 2, 17, 1000])
def test_every_image_is_in_the_order_once(size):
    assert sorted(epoch_order(size, seed=3, epoch=5)) == list(range(size))


def test_the_order_is_frozen():
    # A run that is resumed under other versions of NumPy must go on in the same order.
    assert epoch_order(10, seed=0, epoch=0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]


def test_epochs_and_seeds_differ():
    orders = [epoch_order(100, seed, epoch).tolist() for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_positions_are_uniform():
    firsts = [int(epoch_order(10, 0, epoch)[0]) for epoch in range(2000)]
    counts = np.bincount(firsts, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi square, 9 degrees, p = 0.001


def test_batches_tell_the_epoch_and_cover_it():
    sampler = StepSampler(12, 3, seed=0)
    sampler.set_epoch(7)
    found = list(sampler)
    assert {epoch for batch in found for epoch, _ in batch} == {7}
    assert sorted(index for batch in found for _, index in batch) == list(range(12))
    assert len(found) == len(sampler) == 4


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_see_the_batches_of_one(world_size):
    together = [
        batches(StepSampler(50, 12 // world_size, seed=1, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    joined = [[*chain(*parts)] for parts in zip(*together, strict=True)]
    assert joined == batches(StepSampler(50, 12, seed=1))


def test_the_rest_that_is_left_out_changes():
    sampler = StepSampler(10, 4, seed=0)
    left_out = set()
    for epoch in range(8):
        sampler.set_epoch(epoch)
        left_out |= set(range(10)) - set(chain(*batches(sampler)))
    assert len(left_out) > 4


def test_skipping_goes_on_where_the_epoch_was_left_and_happens_once():
    whole = batches(StepSampler(20, 4, seed=0))
    sampler = StepSampler(20, 4, seed=0)
    sampler.skip_batches(2)
    assert len(sampler) == 5
    assert batches(sampler) == whole[2:]
    assert batches(sampler) == whole


def test_an_iterator_that_is_dropped_unused_does_not_use_up_the_skip():
    sampler = StepSampler(20, 4, seed=0)
    sampler.skip_batches(3)
    iter(sampler)
    assert len(batches(sampler)) == 2


def test_a_running_iteration_keeps_its_epoch():
    sampler = StepSampler(20, 4, seed=0)
    iterator = iter(sampler)
    next(iterator)
    sampler.set_epoch(1)
    assert next(iterator)[0][0] == 0


@pytest.mark.parametrize("batch_size", [0, 6])
def test_a_batch_larger_than_the_data_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"of 1 to 10 images, got {2 * batch_size}"):
        StepSampler(10, batch_size, seed=0, world_size=2)


# ------------------------------------------------------------------ shards


@pytest.mark.parametrize(("sizes", "window"), [([4, 1, 7, 0, 3], 5), ([6], 2), ([3, 3], 100)])
def test_windows_hold_the_images_of_few_shards(sizes, window):
    order = windowed_order(sizes, window, seed=3, epoch=1)
    assert sorted(order) == list(range(sum(sizes)))
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    for end in range(window, len(order) - window + 1, window):  # the last one takes the rest
        done = np.bincount(shard_of[order[:end]], minlength=len(sizes))
        begun = [number for number, count in enumerate(done) if 0 < count < sizes[number]]
        assert len(begun) <= 1, "a shard begins before the one before has ended"


def test_the_order_of_shards_is_frozen_and_changes_with_epoch_and_seed():
    found = windowed_order([2, 3, 1, 4], 4, seed=0, epoch=0).tolist()
    assert found == [0, 2, 1, 3, 9, 8, 5, 4, 6, 7]
    others = [windowed_order([2, 3, 1, 4], 4, *key).tolist() for key in [(0, 1), (1, 0)]]
    assert found != others[0] != others[1] != found


def test_a_sampler_takes_the_order_of_the_source():
    sampler = StepSampler(6, 2, seed=0, order=lambda seed, epoch: np.arange(6)[::-1] + 0)
    assert batches(sampler) == [[5, 4], [3, 2], [1, 0]]
