import numpy as np
import pytest
import torch
from PIL import Image

from lightly_core.config.options.augmentations import ChannelDropArgs, NormalizeArgs
from lightly_core.config.options.settings import PythonObject
from lightly_core.data.labels import open_labelled
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import EvalTransform
from lightly_core.evaluation.augmented import LabelledBatches, crop_transform

PLAIN = NormalizeArgs(mean=(0.0,), std=(1.0,))


class Shades:
    """Image i is of the value i everywhere and of the class i % 3; some cannot be read."""

    def __init__(self, size=10, broken=()):
        self.targets = [index % 3 for index in range(size)]
        self.broken = broken

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        if index in self.broken:
            raise OSError("broken")
        return np.full((12, 12, 3), index, np.uint8)


def batches(dataset, *, positions=None, batch_size=4, seed=0, num_workers=0):
    images = open_labelled(open_source(PythonObject(dataset)), None, what="data")
    images = images if positions is None else images.part(np.array(positions))
    transform = crop_transform(EvalTransform(8, PLAIN, 3, "bilinear"), 0.5)
    settings = {"batch_size": batch_size, "num_workers": num_workers, "seed": seed}
    return LabelledBatches(images, transform, epochs=3, **settings)


def seen(loader, epoch):
    return torch.cat([batch.indices for batch, _ in loader.epoch(epoch)]).tolist()


def test_labels_belong_to_the_images_of_their_batch():
    loader = batches(Shades(), positions=[1, 2, 3, 5, 6, 9])
    for batch, labels in loader.epoch(0):
        values = batch.pixels[0].flatten(1)[:, 0].long()
        assert torch.equal(values, batch.indices)
        assert torch.equal(labels, batch.indices % 3)
        assert set(values.tolist()) <= {1, 2, 3, 5, 6, 9}


def test_an_epoch_depends_on_its_number_and_the_seed_only():
    first, second = batches(Shades()), batches(Shades())
    assert seen(second, 1) != seen(second, 0) == seen(first, 0)
    assert seen(batches(Shades(), seed=1), 0) != seen(first, 0)
    crops = [torch.cat([batch.parameters[0] for batch, _ in x.epoch(1)]) for x in (first, second)]
    assert torch.equal(*crops)


@pytest.mark.processes
def test_workers_that_go_on_with_the_next_epoch_read_the_same():
    here, there = batches(Shades()), batches(Shades(), num_workers=1)
    for epoch in (0, 1, 2, 1):
        for one, other in zip(here.epoch(epoch), there.epoch(epoch), strict=True):
            assert torch.equal(one[0].parameters[0], other[0].parameters[0])
            assert torch.equal(one[0].pixels[0], other[0].pixels[0])
            assert torch.equal(one[1], other[1])


def test_the_last_images_of_an_order_that_fill_no_batch_are_left_out():
    loader = batches(Shades(10), batch_size=4)
    assert len(loader) == 2
    assert len(set(seen(loader, 0))) == 8


def test_a_batch_is_no_larger_than_the_set():
    loader = batches(Shades(5), batch_size=64)
    assert (loader.batch_size, len(loader)) == (5, 1)
    assert sorted(seen(loader, 0)) == [0, 1, 2, 3, 4]


def test_unreadable_images_are_missing_and_counted():
    loader = batches(Shades(8, broken=(2, 5)), batch_size=4)
    assert sorted(seen(loader, 0) + seen(loader, 1)) == sorted(2 * [0, 1, 3, 4, 6, 7])
    assert loader.skipped == {2, 5}


def test_a_batch_of_unreadable_images_only_is_passed_over():
    loader = batches(Shades(4, broken=(0, 1, 2, 3)), batch_size=2)
    assert list(loader.epoch(0)) == []


def test_crops_are_cropped_and_flipped_and_nothing_else():
    base = EvalTransform(8, NormalizeArgs(mean=(0.5,), std=(0.25,)), 3, "bilinear")
    transform = crop_transform(base, 0.2)
    ramp = np.repeat(np.arange(16, dtype=np.uint8)[None] * 10, 16, axis=0)
    image = Image.fromarray(np.stack([ramp, ramp, ramp], axis=2))
    slopes = []
    for seed in range(20):
        sample = transform.sample(image, np.random.default_rng(seed), 0)
        (view,) = transform.views([sample.views[0][None]], [sample.parameters[0][None]])
        assert torch.allclose(view, (sample.views[0][None] / 255 - 0.5) / 0.25, atol=1e-6)
        slopes.append(float(view[0, 0, 0, -1] - view[0, 0, 0, 0]))
    assert min(slopes) < 0 < max(slopes)
    assert len({round(abs(slope), 4) for slope in slopes}) > 5


def test_the_same_channels_are_kept_as_in_the_evaluation():
    drop = ChannelDropArgs(num_channels_keep=2, weight_drop=(0.0, 1.0, 0.0, 2.0))
    base = EvalTransform(8, NormalizeArgs(mean=(0.0,) * 4, std=(1.0,) * 4), 2, "bilinear", drop)
    transform = crop_transform(base, 0.5)
    image = np.stack([np.full((9, 9), value, np.uint8) for value in (10, 20, 30, 40)], axis=2)
    rng = np.random.default_rng(0)
    for made in (base, transform):
        pixels = made.sample(image, rng, 0).views[0]
        assert pixels[:, 0, 0].tolist() == [10, 30]


def test_photographs_are_shrunk_only_as_far_as_small_crops_allow(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    source = open_source(str(tmp_path), min_side=16)
    images = open_labelled(source, None, what="data")
    transform = crop_transform(EvalTransform(8, PLAIN, 3, "bilinear"), 0.01)
    loader = LabelledBatches(images, transform, batch_size=2, epochs=1, num_workers=0, seed=0)
    # sides of the smallest crop: 8 / sqrt(0.01 * 3 / 4) = 92.4
    assert loader._loader.dataset._images.source.min_side == 93
    assert source.min_side == pytest.approx(16)
