import gc

import pytest

from lightly_core.data.loader import EpochsLoader, make_loader
from lightly_core.data.sampler import StepSampler


class FrozenObjects:
    """How many objects the collector of a worker leaves alone."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return gc.get_freeze_count()


@pytest.mark.processes
def test_collectors_of_workers_leave_the_memory_of_the_run_alone():
    loader = make_loader(
        FrozenObjects(),
        list,
        num_workers=1,
        loader_args={"multiprocessing_context": "fork"},
    )
    gc.unfreeze()  # what the root conftest has frozen
    try:
        assert min(next(iter(loader))) > 10_000  # torch alone has ten times as many
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


class Keys:
    """Samples that are their own keys."""

    def __len__(self):
        return 7

    def __getitem__(self, key):
        return key


def keys_loader(sampler, end_epoch):
    return make_loader(
        Keys(),
        list,
        num_workers=2,
        batch_sampler=sampler,
        end_epoch=end_epoch,
        loader_args={"multiprocessing_context": "fork"},
    )


def from_sampler(epoch, skip=0):
    sampler = StepSampler(7, 2, seed=3)
    sampler.set_epoch(epoch)
    sampler.skip_batches(skip)
    return list(sampler)


@pytest.mark.processes
def test_workers_go_on_with_the_next_epoch_and_every_epoch_is_the_same(monkeypatch):
    sampler = StepSampler(7, 2, seed=3)
    loader = keys_loader(sampler, end_epoch=6)
    assert isinstance(loader, EpochsLoader)
    starts = []
    first = type(loader).__mro__[1].__iter__
    monkeypatch.setattr(
        type(loader).__mro__[1], "__iter__", lambda self: (starts.append(1), first(self))[1]
    )

    def epoch(number, skip=0):
        sampler.set_epoch(number)
        sampler.skip_batches(skip)
        return iter(loader)

    assert list(epoch(1, skip=1)) == from_sampler(1, skip=1)  # a run that was resumed
    assert list(epoch(2)) == from_sampler(2)
    batches = epoch(3)
    assert [next(batches) for _ in range(3)] == from_sampler(3)  # the end is not asked for
    batches = epoch(4)
    assert len(starts) == 1
    assert next(batches) == from_sampler(4)[0]
    assert list(epoch(5)) == from_sampler(5)  # epoch 4 was left early
    assert len(starts) == 2
    assert list(epoch(3)) == from_sampler(3)  # another run of the same loader
    assert len(starts) == 3


def test_an_iteration_of_the_sampler_itself_is_one_epoch():
    assert [epoch for batch in from_sampler(4) for epoch, _ in batch] == [4] * 6
