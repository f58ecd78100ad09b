"""Images in memory give the batches that worker processes would have made."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from all_progress import show_all_progress
from PIL import Image

from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.config.options.augmentations import (
    ChannelDropArgs,
    LocalViewArgs,
    NormalizeArgs,
    RandomRotationArgs,
)
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.data import memory_choice
from lightly_core.data.dataset import build_loader
from lightly_core.data.memory import keep_images, place_images, read_all
from lightly_core.data.memory_choice import NotPossible, choose_memory, max_bytes
from lightly_core.data.memory_loader import MemoryLoader
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.errors import ConfigError, DataError
from lightly_core.plugins.records import TransformRecord

BAD = {3, 4, 9}
NOISE = np.random.default_rng(0).integers(0, 256, (200, 20, 24, 4)).astype(np.uint8)
ARGS = TransformArgs(image_size=16, num_views=2)
CPU = torch.device("cpu")


class Pictures:
    """Noise of one size, some of which cannot be read; single images can be replaced."""

    def __init__(self, size=20, bad=(), channels=3, others=None):
        self.size = size
        self.bad = bad
        self.channels = channels
        self.others = others or {}

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index in self.bad:
            raise RuntimeError(f"no image {index}")
        return self.others.get(index, NOISE[index, :, :, : self.channels])


class Restless(Pictures):
    """Another image each time."""

    def __getitem__(self, index):
        return np.random.default_rng().integers(0, 256, (8, 8, 3)).astype(np.uint8)


def source(*args, channels=3, **changes):
    return open_source(
        PythonObject(Pictures(*args, channels=channels, **changes)), num_channels=channels
    )


def draw_mask(rng):
    return {"mask": torch.from_numpy(rng.random(6) < 0.5)}


def loaders(images, args=ARGS, *, rank=0, world_size=1, view_period=None):
    """The loader that decodes each time, and that of images in memory."""
    transform = TwoStageTransform(args, crops=True)
    plain = [
        build_loader(
            images,
            transform,
            seed=5,
            per_device_batch_size=8 // world_size,
            rank=rank,
            world_size=world_size,
            num_workers=0,
            pin_memory=False,
            view_period=view_period,
            make_extras=draw_mask,
        )
        for _ in range(2)
    ]
    kept = read_all(images, args.source_channels)
    return plain[0], MemoryLoader(kept, transform, plain[1], CPU)


def assert_same(slow, fast):
    for one, two in zip(slow, fast, strict=True):
        assert torch.equal(one.indices, two.indices)
        assert torch.equal(one.view_ids, two.view_ids)
        assert one.skipped == two.skipped
        assert one.extras["mask"].shape == (len(one.indices), 6)
        assert torch.equal(one.extras["mask"], two.extras["mask"])
        assert len(one.crops) == len(one.pixels)
        for first, second in zip(one.crops, two.crops, strict=True):
            assert first.shape == (len(one.indices), 6)
            assert torch.equal(first, second)
        for first, second in zip(one.parameters, two.parameters, strict=True):
            assert torch.equal(first, second)
        for first, second in zip(one.pixels, two.pixels, strict=True):
            assert first.dtype == second.dtype == torch.uint8
            difference = (first.int() - second.int()).abs()
            assert difference.max() <= 2
            assert difference.float().mean() < 0.1


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("period", [None, 2])
@pytest.mark.parametrize("bad", [(), BAD])
def test_batches_equal_those_of_the_workers(bad, period):
    slow, fast = loaders(source(bad=bad), view_period=period)
    assert len(slow) == len(fast) == 2
    for epoch in range(3):
        slow.batch_sampler.set_epoch(epoch)
        fast.batch_sampler.set_epoch(epoch)
        assert_same(slow, fast)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_and_many_unequal_views(channels):
    args = MultiCropTransformArgs(
        image_size=(18, 12),
        local_view=LocalViewArgs(view_size=8, num_views=2),
        normalize=NormalizeArgs(mean=(0.5,) * channels, std=(0.5,) * channels),
        interpolation="bilinear",
    )
    assert_same(*loaders(source(channels=channels), args))


def test_crops_are_told_to_those_who_ask_only():
    images = source()
    _, loader = loaders(images)
    silent = MemoryLoader(read_all(images, 3), TwoStageTransform(ARGS), loaders(images)[0], CPU)
    assert all(len(batch.crops) == 2 for batch in loader)
    assert all(batch.crops == [] for batch in silent)


def test_whole_images_without_a_random_crop():
    assert_same(*loaders(source(), TransformArgs(image_size=16, random_resize=None)))


def test_files(tmp_path):
    for index in range(9):
        Image.fromarray(NOISE[index, :, :, :3]).save(tmp_path / f"{index}.png")
    (tmp_path / "5.png").write_bytes(b"")
    assert_same(*loaders(open_source(str(tmp_path))))


def test_a_resumed_epoch_goes_on_with_the_same_batches():
    _, whole = loaders(source(50))
    _, resumed = loaders(source(50))
    for loader in (whole, resumed):
        loader.batch_sampler.set_epoch(1)
    resumed.batch_sampler.skip_batches(4)
    expected, got = list(whole)[4:], list(resumed)
    assert len(got) == len(expected) == 2
    for one, two in zip(expected, got, strict=True):
        assert torch.equal(one.indices, two.indices)
        assert all(torch.equal(*pair) for pair in zip(one.pixels, two.pixels, strict=True))
        assert all(torch.equal(*pair) for pair in zip(one.parameters, two.parameters, strict=True))


def test_two_processes_see_the_batches_of_one():
    _, alone = loaders(source(50))
    parts = [loaders(source(50), rank=rank, world_size=2)[1] for rank in (0, 1)]
    for batch, first, second in zip(alone, *parts, strict=True):
        assert torch.equal(batch.indices, torch.cat([first.indices, second.indices]))
        for views in zip(batch.pixels, first.pixels, second.pixels, strict=True):
            assert torch.equal(views[0], torch.cat(views[1:]))


def test_the_search_for_a_readable_image_ends():
    _, fast = loaders(source(150, bad=range(149)))
    with pytest.raises(DataError, match="none of 100 images tried can be read, such as"):
        list(fast)


# ------------------------------------------------------------------ reading


def test_all_images_are_read_once_and_kept_as_they_are():
    kept = read_all(source(bad=BAD), 3)
    assert kept.images.shape == (20, 20, 3, 24)
    assert kept.image_size == (20, 24)
    np.testing.assert_array_equal(kept.images[7].permute(0, 2, 1), NOISE[7, :, :, :3])
    assert kept.unreadable == {index: f"RuntimeError: no image {index}" for index in BAD}
    assert not kept.images[list(BAD)].any()
    assert place_images(kept, CPU) is kept


def test_one_image_of_another_size_is_named(caplog):
    images = source(others={11: NOISE[11, :8, :, :3]})
    text = "'Pictures/11' has 24 x 8 pixels, 'Pictures/0' has 24 x 20"
    with pytest.raises(NotPossible, match=text):
        read_all(images, 3)
    with pytest.raises(ConfigError, match=f"in_memory: true is not possible: {text}.*set it to fa"):
        keep_images(images, 3, MemoryChoice(use=True, required=True, reason=""))
    with caplog.at_level(logging.INFO):
        assert keep_images(images, 3, MemoryChoice(use=True, reason="")) is None
    assert f"not kept in memory: {text}" in caplog.text


def test_no_readable_image():
    with pytest.raises(NotPossible, match="no image can be read"):
        read_all(source(bad=range(20)), 3)


def test_a_first_image_that_was_not_looked_at_may_be_huge(monkeypatch):
    monkeypatch.setattr(memory_choice, "MAX_BYTES", 2**20)
    images = source(40, bad={0}, others={1: large(400)})
    assert choose(images).use
    with pytest.raises(NotPossible, match="all images together are 18 MiB, more than 1 MiB"):
        read_all(images, 3)


def test_the_log_says_how_many_images_are_decoded_so_far(caplog, monkeypatch):
    show_all_progress(monkeypatch)
    with caplog.at_level(logging.INFO):
        read_all(source(), 3)
    assert "Reading images into memory: 19 of 20 images (95 %)" in caplog.text


# ------------------------------------------------------------------ choice


def choose(images, in_memory="auto", args=ARGS, record=None):
    settings = SimpleNamespace(
        run=SimpleNamespace(in_memory=in_memory), transform=args, transform_record=record
    )
    return choose_memory(settings, images)


def transform_of(target):
    return TransformRecord(
        name="acme", target=f"lightly_core.{target}", config="acme:Args", summary="Views."
    )


def test_a_plugins_transform_that_makes_views_from_memory_keeps_images():
    record = transform_of("data.views.two_stage:TwoStageTransform")
    assert choose(source(), record=record).use


def large(side):
    return np.zeros((side, side, 3), np.uint8)


def test_small_images_of_one_size_are_kept():
    choice = choose(source(bad=BAD))
    assert choice == MemoryChoice(
        use=True, reason="all images have 24 x 20 pixels and are 0.027 MiB together"
    )
    assert choose(source(), True).required


def test_nothing_is_looked_at_where_it_is_off():
    assert choose(None, False) == MemoryChoice(use=False, reason="in_memory=false")


@pytest.mark.parametrize(
    ("images", "args", "record", "reason"),
    [
        (source(), ARGS, transform_of("contracts.data:Transform"), "has no from_memory()"),
        (
            source(),
            TransformArgs(image_size=16, random_rotation=RandomRotationArgs()),
            None,
            "transform_args.random_rotation is on",
        ),
        (
            source(channels=4),
            TransformArgs(
                channel_drop=ChannelDropArgs(num_channels_keep=2, weight_drop=(1, 1, 1, 1))
            ),
            None,
            "transform_args.channel_drop is on",
        ),
        (source(others={0: large(129)}), ARGS, None, "'Pictures/0' has 129 x 129 pixels, more"),
        (source(others={19: large(30)}), ARGS, None, "'Pictures/19' has 30 x 30 pixels, 'Pic"),
        (
            source(others={0: np.zeros((20, 24, 3), np.float32)}),
            ARGS,
            None,
            "'Pictures/0' has more than 8 bit a channel",
        ),
        (source(bad=range(20)), ARGS, None, "none of the inspected images can be read"),
        (
            open_source(PythonObject(Restless())),
            ARGS,
            None,
            "'Restless/0' changes each time it is loaded",
        ),
    ],
)
def test_what_stands_against_it_is_said(images, args, record, reason):
    choice = choose(images, args=args, record=record)
    assert not choice.use
    assert reason in choice.reason
    with pytest.raises(ConfigError, match="true is not possible") as caught:
        choose(images, True, args, record)
    assert reason in str(caught.value)


def test_larger_images_and_views_only_where_asked_for():
    images = source(others={index: large(80) for index in range(20)})
    assert "has 80 x 80 pixels, more than 64 a side" in choose(images).reason
    assert choose(images, True).use
    views = TransformArgs(image_size=96)
    assert "views have sides of 96 pixels, more than 64" in choose(source(), args=views).reason
    assert choose(source(), True, views).use


def test_too_many_images(monkeypatch):
    assert 0 < max_bytes() <= memory_choice.MAX_BYTES == 2**30
    monkeypatch.setattr(memory_choice, "MAX_BYTES", 20 * 24 * 20 * 3 - 1)
    assert "all images together are 0.027 MiB, more than" in choose(source()).reason
    monkeypatch.setattr(memory_choice, "MAX_BYTES", 20 * 24 * 20 * 3)
    assert choose(source()).use
