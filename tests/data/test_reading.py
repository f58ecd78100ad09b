import numpy as np
import pytest
import torch
from PIL import Image

from lightly_core.config.options.transform import TransformArgs
from lightly_core.data.dataset import TrainingDataset
from lightly_core.data.reading import sample_rng
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import TwoStagePlan, TwoStageTransform


def test_random_numbers_depend_on_seed_epoch_and_image():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    numbers = [sample_rng(*key).random(64).tolist() for key in keys]
    assert len({number for row in numbers for number in row}) == 4 * 64
    assert sample_rng(0, 0, 0).random(64).tolist() == numbers[0]


def test_random_numbers_of_neighbours_are_unrelated():
    numbers = np.stack([sample_rng(0, 0, index).random(200) for index in range(50)])
    correlation = np.corrcoef(numbers) - np.eye(50)
    assert np.abs(correlation).max() < 5 / np.sqrt(200)


def photo_folder(tmp_path, size=(1200, 900)):
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / 100
    waves = np.stack([np.sin(x * y), np.sin(3 * x), np.cos(2 * y + x)], axis=2)
    image = Image.fromarray((127.5 + 120 * waves).astype(np.uint8))
    image.save(tmp_path / "a.jpg", quality=95)
    return open_source(str(tmp_path))


@pytest.mark.slow
def test_large_jpegs_are_decoded_as_small_as_their_crops_allow(tmp_path, monkeypatch):
    images, transform = photo_folder(tmp_path), TwoStageTransform(TransformArgs(image_size=128))
    decoded = []
    make = TwoStagePlan.make
    monkeypatch.setattr(
        TwoStagePlan, "make", lambda self, image: decoded.append(image.shape) or make(self, image)
    )
    dataset, factors, differences = TrainingDataset(images, transform, seed=3), set(), []
    for epoch in range(20):
        sample = dataset[epoch, 0]
        plan = transform.plan((900, 1200), sample_rng(3, epoch, 0), 0)
        factor = round(1200 / decoded[-1][1])
        factors.add(factor)
        assert plan.least_scale <= 1 / factor < 2 * plan.least_scale or factor == 8
        in_full = make(plan, images.load(0))
        for view, expected in zip(sample.views, in_full.views, strict=True):
            differences.append((view.float() - expected.float()).abs().mean().item())
    assert factors == {2, 4}
    assert np.mean(differences) < 6  # of 255


class PlansBadly(TwoStageTransform):
    def plan(self, size, rng, index):
        raise KeyError("a fault of the transform")

    def sample(self, image, rng, index):
        return self.plan((8, 8), rng, index)


class ChangesSamples(TwoStageTransform):
    def sample(self, image, rng, index):
        sample = super().sample(image, rng, index)
        sample.views = [view.flip(1) for view in sample.views]
        return sample


def test_an_error_of_the_plan_is_not_one_of_the_image(tmp_path):
    dataset = TrainingDataset(photo_folder(tmp_path), PlansBadly(TransformArgs()), seed=3)
    with pytest.raises(KeyError, match="a fault of the transform"):
        dataset[0, 0]


def test_a_subclass_that_overrides_sample_alone_is_obeyed(tmp_path):
    images, args = photo_folder(tmp_path, (90, 70)), TransformArgs(image_size=32)
    changed, plain = (
        TrainingDataset(images, make(args), seed=3)[0, 0].views
        for make in (ChangesSamples, TwoStageTransform)
    )
    assert all(torch.equal(a, b.flip(1)) for a, b in zip(changed, plain, strict=True))
