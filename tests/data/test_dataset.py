import pickle
import signal
import threading

import numpy as np
import pytest
import torch

from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import Sample
from lightly_core.data.dataset import (
    RawBatch,
    TrainingDataset,
    build_eval_loader,
    build_loader,
    collate,
)
from lightly_core.data.loading import replacements
from lightly_core.data.reading import sample_rng
from lightly_core.data.sources import open_source
from lightly_core.errors import ConfigError, DataError

BAD = {3, 4, 9}


class Pictures:
    """Ten grey images, some of which cannot be read."""

    def __init__(self, bad=(), size=10):
        self.bad = bad
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index in self.bad:
            raise RuntimeError(f"no\nimage {index}")
        return np.full((8, 8, 3), index, np.uint8)


def source(bad=(), size=10):
    return open_source(PythonObject(Pictures(bad, size)))


def loader(
    transform,
    *,
    bad=(),
    size=10,
    num_workers=0,
    rank=0,
    world_size=1,
    view_period=None,
    **loader_args,
):
    if num_workers:
        loader_args["multiprocessing_context"] = "fork"  # the classes here cannot be imported
    return build_loader(
        source(bad, size),
        transform,
        seed=5,
        per_device_batch_size=4 // world_size,
        rank=rank,
        world_size=world_size,
        num_workers=num_workers,
        pin_memory=False,
        loader_args=loader_args,
        view_period=view_period,
    )


def content(batches):
    return [
        (batch.indices.tolist(), batch.pixels[0].tolist(), batch.parameters[0].tolist())
        for batch in batches
    ]


# ------------------------------------------------------------------ samples


def test_an_unreadable_image_is_replaced_by_the_next_that_reads(transform):
    dataset = TrainingDataset(source(BAD), transform, seed=5)
    sample = dataset[(2, 3)]
    assert sample.index == 5
    assert sample.views[0].unique().tolist() == [5]
    assert sample.skipped == [
        (3, "Pictures/3", "RuntimeError: no image 3"),
        (4, "Pictures/4", "RuntimeError: no image 4"),
    ]
    assert dataset[(2, 9)].index == 0  # around the end
    assert dataset[(2, 5)].skipped == []


def test_extras_have_random_numbers_of_their_own(transform):
    def numbers(rng):
        return {"numbers": torch.from_numpy(rng.random(64))}

    plain = TrainingDataset(source(), transform, seed=5)
    more = TrainingDataset(source(), transform, seed=5, make_extras=numbers)
    sample = more[(2, 3)]
    assert torch.equal(sample.views[0], plain[(2, 3)].views[0])
    assert torch.equal(sample.extras["numbers"], more[(2, 3)].extras["numbers"])
    for others in (more[(1, 3)].extras["numbers"], more[(2, 4)].extras["numbers"]):
        assert not set(others.tolist()) & set(sample.extras["numbers"].tolist())
    views = {float(number) for number in sample_rng(5, 2, 3).random(64)}
    assert not views & set(sample.extras["numbers"].tolist())


def test_extras_repeat_with_the_views(transform):
    def numbers(rng):
        return {"numbers": torch.from_numpy(rng.random(4))}

    dataset = TrainingDataset(source(), transform, 5, 2, numbers)
    first, second, third = (dataset[(epoch, 3)].extras["numbers"] for epoch in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_the_replacement_draws_for_the_place_that_it_takes(transform):
    bad = TrainingDataset(source(BAD), transform, seed=5)[(2, 3)]
    good = TrainingDataset(source(), transform, seed=5)[(2, 3)]
    assert torch.equal(bad.parameters[0], good.parameters[0])


@pytest.mark.parametrize(("size", "tried"), [(1, 1), (10, 10), (300, 100)])
def test_the_search_for_a_replacement_ends(transform, size, tried):
    dataset = TrainingDataset(source(range(size), size), transform, seed=5)
    with pytest.raises(DataError, match=f"none of {tried} images tried can be read, such as 'Pic"):
        dataset[(0, 0)]


def test_a_mistake_in_the_transform_is_not_taken_for_a_bad_image(transform):
    transform.sample = lambda image, rng, index: 1 / 0
    with pytest.raises(ZeroDivisionError):
        TrainingDataset(source(), transform, seed=5)[(0, 0)]


def test_samples_repeat_with_the_period(transform):
    dataset = TrainingDataset(source(), transform, seed=5, view_period=3)
    sampled = [dataset[(epoch, 7)] for epoch in range(7)]
    assert [sample.view_id for sample in sampled] == [21, 22, 23, 21, 22, 23, 21]
    numbers = [tuple(sample.parameters[0].tolist()) for sample in sampled]
    assert numbers == [numbers[epoch % 3] for epoch in range(7)]
    assert len(set(numbers)) == 3
    endless = TrainingDataset(source(), transform, seed=5)
    assert numbers[:3] == [tuple(endless[(epoch, 7)].parameters[0].tolist()) for epoch in range(3)]
    assert endless[(4, 7)].view_id == -1


def test_what_takes_the_place_of_an_unreadable_image_has_no_view_id(transform):
    dataset = TrainingDataset(source(BAD), transform, seed=5, view_period=2)
    assert [dataset[(2, index)].view_id for index in (2, 3, 4, 5)] == [4, -1, -1, 10]


def test_view_ids_are_those_of_the_whole_dataset_and_the_order_never_repeats(transform):
    built = loader(transform, view_period=2, bad={3})
    orders, ids = [], []
    for epoch in range(4):
        built.batch_sampler.set_epoch(epoch)
        batches = list(built)
        orders.append([index for batch in batches for index in batch.indices.tolist()])
        ids.append([number for batch in batches for number in batch.view_ids.tolist()])
        for index, number in zip(orders[-1], ids[-1], strict=True):
            assert number in (2 * index + epoch % 2, -1)
    assert len(set(map(tuple, orders))) == 4
    assert any(-1 in numbers for numbers in ids)


# ------------------------------------------------------------------ batches


def sample(index, view, **extras):
    return Sample(index, [view], [torch.full((2,), float(index))], extras)


def test_collate_stacks_and_keeps_bytes():
    views = [torch.full((3, 2, 2), value, dtype=torch.uint8) for value in (10, 20)]
    batch = collate(
        [sample(4, views[0], mask=torch.ones(5)), sample(7, views[1], mask=torch.zeros(5))]
    )
    assert batch.pixels[0].dtype == torch.uint8
    assert batch.pixels[0][:, 0, 0, 0].tolist() == [10, 20]
    assert batch.parameters[0].tolist() == [[4, 4], [7, 7]]
    assert (batch.indices.dtype, batch.indices.tolist()) == (torch.int64, [4, 7])
    assert batch.extras["mask"].tolist() == [[1] * 5, [0] * 5]


def test_collate_brings_bytes_and_floats_to_one_scale():
    views = [torch.full((1, 2, 2), 51, dtype=torch.uint8), torch.full((1, 2, 2), 0.5)]
    batch = collate([sample(0, views[0]), sample(1, views[1])])
    assert batch.pixels[0].dtype == torch.float32
    assert torch.allclose(batch.pixels[0][:, 0, 0, 0], torch.tensor([0.2, 0.5]))


def test_collate_keeps_channels_last():
    views = list(torch.arange(48).byte().view(2, 2, 4, 3).permute(0, 3, 1, 2))
    pixels = collate([sample(0, views[0]), sample(1, views[1])]).pixels[0]
    assert pixels.tolist() == torch.stack([view.contiguous() for view in views]).tolist()
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_to_moves_everything_but_the_parameters_and_view_ids():
    batch = RawBatch(
        [torch.zeros(2, 3, 4, 4)],
        [torch.zeros(2, 5)],
        torch.zeros(2),
        {"mask": torch.zeros(2)},
        view_ids=torch.arange(2),
        crops=[torch.zeros(2, 6)],
    )
    moved = batch.to("meta")
    assert moved.view_ids.tolist() == [0, 1]
    devices = [moved.pixels[0], moved.parameters[0], moved.indices, moved.extras["mask"]]
    assert [tensor.device.type for tensor in devices] == ["meta", "cpu", "meta", "meta"]
    assert moved.crops[0].device.type == "meta"


def test_pinning_leaves_the_parameters_out(monkeypatch):
    # Pinning itself needs a GPU; which tensors are pinned does not.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    zeros = [torch.zeros(1) for _ in range(6)]
    batch = RawBatch(
        zeros[:1], zeros[1:2], zeros[2], {"mask": zeros[3]}, view_ids=zeros[4], crops=zeros[5:]
    )
    batch = batch.pin_memory()
    tensors = [batch.pixels[0], batch.parameters[0], batch.indices, batch.extras["mask"]]
    tensors += [batch.view_ids, *batch.crops]
    assert [tensor.item() for tensor in tensors] == [1, 0, 1, 1, 0, 1]


# ------------------------------------------------------------------ loaders


@pytest.mark.slow
def test_workers_change_nothing(transform):
    loaders = [loader(transform, bad=BAD, num_workers=workers) for workers in (0, 2)]
    epochs = []
    for epoch in (0, 1):
        for each in loaders:
            each.batch_sampler.set_epoch(epoch)
        first, second = (content(each) for each in loaders)
        assert first == second
        epochs.append(first)
    assert epochs[0] != epochs[1]
    skips = [[batch.skipped for batch in each] for each in loaders]
    assert skips[0] == skips[1]


@pytest.mark.slow
def test_a_resumed_epoch_goes_on_with_the_same_samples(transform):
    whole = content(loader(transform, size=20))
    resumed = loader(transform, size=20, num_workers=1)
    resumed.batch_sampler.skip_batches(3)
    assert content(resumed) == whole[3:]
    assert len(resumed) == 5


def test_two_processes_see_together_what_one_sees(transform):
    whole = content(loader(transform))
    parts = [content(loader(transform, rank=rank, world_size=2)) for rank in (0, 1)]
    joined = [tuple(a + b for a, b in zip(*pair, strict=True)) for pair in zip(*parts, strict=True)]
    assert joined == whole


def test_iterating_leaves_the_global_random_state_alone(transform):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(transform))
    list(build_eval_loader(source(), range(10), transform, batch_size=4))
    assert torch.equal(torch.get_rng_state(), before)


class Inspect:
    """Answers how its process is set up, as an image."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return np.full((8, 8, 3), 100 * ignores + torch.get_num_threads(), np.uint8)


@pytest.fixture
def ctrl_c_interrupts():
    """As in a terminal; what a script starts in the background ignores it, and so would tests."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_workers_ignore_ctrl_c_and_use_one_thread(transform):
    built = build_loader(
        open_source(PythonObject(Inspect())),
        transform,
        seed=0,
        per_device_batch_size=4,
        rank=0,
        world_size=1,
        num_workers=1,
        pin_memory=False,
        loader_args={"multiprocessing_context": "fork"},
    )
    assert next(iter(built)).pixels[0].unique().tolist() == [101]
    if threading.current_thread() is threading.main_thread():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_loader_args_win(transform):
    built = loader(transform, num_workers=1, prefetch_factor=7, persistent_workers=False)
    assert (built.prefetch_factor, built.persistent_workers) == (7, False)
    assert loader(transform, num_workers=1).persistent_workers


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            {"prefetch_facto": 2},
            "config.loader_args.prefetch_facto: .* did you mean 'prefetch_factor'",
        ),
        ({"zzz": 2}, "config.loader_args.zzz: unknown argument of torch's DataLoader, known: "),
        ({"batch_sampler": 2}, "config.loader_args.batch_sampler: is set by the run"),
        ({"num_workers": 2}, "config.loader_args.num_workers: use the setting num_workers"),
        ({"prefetch_factor": 2}, "config.loader_args: prefetch_factor option could only be"),
        ({"timeout": -1}, "config.loader_args: timeout option should be non-negative"),
    ],
)
def test_wrong_loader_args_are_refused(transform, args, text):
    with pytest.raises(ConfigError, match=text):
        build_loader(
            source(),
            transform,
            seed=0,
            per_device_batch_size=4,
            rank=0,
            world_size=1,
            num_workers=0,
            pin_memory=False,
            loader_args=args,
        )


def test_the_evaluation_keeps_the_order_and_leaves_out_bad_images(transform):
    indices = [8, 3, 1, 4, 9, 0]
    batches = list(build_eval_loader(source(BAD), indices, transform, batch_size=2))
    assert [batch.indices.tolist() for batch in batches] == [[8], [1], [0]]
    assert [len(batch.pixels[0]) for batch in batches] == [1, 1, 1]
    assert [row[0] for batch in batches for row in batch.skipped] == [3, 4, 9]


def test_an_evaluation_batch_may_be_empty_with_the_right_shape(transform):
    (batch,) = build_eval_loader(source(BAD), [3, 4], transform, batch_size=2)
    assert batch.pixels[0].shape == (0, 3, 4, 4)
    assert batch.parameters[0].shape == (0, 3)
    assert batch.indices.shape == (0,)
    assert len(batch.skipped) == 2


def test_the_training_dataset_can_be_sent_to_a_fresh_process(tmp_path, write_images):
    write_images(tmp_path, ["a.png"])
    dataset = TrainingDataset(open_source(str(tmp_path)), None, seed=0)
    assert pickle.loads(pickle.dumps(dataset)).source.name(0) == "a.png"


def test_the_only_image_can_be_trained_on(tmp_path, write_images, transform):
    write_images(tmp_path, ["a.png"])
    built = build_loader(
        open_source(str(tmp_path)),
        transform,
        seed=0,
        per_device_batch_size=1,
        rank=0,
        world_size=1,
        num_workers=0,
        pin_memory=False,
    )
    assert [batch.indices.tolist() for batch in built] == [[0]]


def test_a_folder_of_unreadable_images_is_left():
    requested, size = 150, 1000
    tried = list(replacements(requested, size))
    assert (len(tried), len(set(tried))) == (100, 100)
    assert tried[:50] == list(range(150, 200))
    bad = set(range(100, 500))  # one folder among others
    assert next(index for index in tried if index not in bad) == 504  # 200 + 16 * 19
    assert max(tried) - min(tried) > 900
    assert list(replacements(3, 5)) == [3, 4, 0, 1, 2]
