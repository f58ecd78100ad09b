import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightly_core.contracts import Sample, Transform
from lightly_core.data.base import ImageSource
from lightly_core.data.pixels import UnreadableImage
from lightly_core.evaluation.rank import embedding_std, rankme
from lightly_core.evaluation.signals import SignalProbe, measure


class Noise(ImageSource):
    def __init__(self, count, broken=()):
        self.count = count
        self.broken = set(broken)
        self.loaded = []

    def __len__(self):
        return self.count

    def name(self, index):
        return f"{index}.png"

    def load(self, index):
        self.loaded.append(index)
        if index in self.broken:
            raise UnreadableImage("cut off")
        pixels = np.random.default_rng(index).integers(0, 256, (4, 4, 3), np.uint8)
        return Image.fromarray(pixels)


class Plain(Transform):
    def sample(self, image, rng, index):
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        return Sample(index, [pixels], [torch.zeros(0)])

    def views(self, pixels, parameters):
        return [view.float() / 255 for view in pixels]


class Pixels(nn.Module):
    """Features are the 48 pixels."""

    def forward_features(self, x):
        return {"features": x}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].flatten(1)[:, :, None, None]}

    def feature_dim(self):
        return 48

    def get_model(self):
        return self


def probe(source, **options):
    return SignalProbe(source, Plain(), **{"num_images": 20, "seed": 0, **options})


def test_images_are_decoded_once_and_are_the_same_each_time():
    source = Noise(50)
    watched = probe(source)
    first = watched.run(Pixels(), "cpu", batch_size=8)
    assert len(set(source.loaded)) == len(source.loaded) == 20
    assert watched.run(Pixels(), "cpu") == first
    assert len(source.loaded) == 20
    assert probe(Noise(50)).run(Pixels(), "cpu") == first
    assert probe(Noise(50), seed=1).run(Pixels(), "cpu") != first


def test_the_numbers_are_those_of_the_features():
    source = Noise(20)
    found = probe(source).run(Pixels(), "cpu")
    features = torch.stack(
        [torch.from_numpy(np.asarray(source.load(i)).copy()).permute(2, 0, 1) for i in range(20)]
    ).flatten(1)
    assert found.std == pytest.approx(embedding_std(features), rel=1e-5)
    assert found.rank == pytest.approx(rankme(features), rel=1e-5)
    assert (found.num_images, found.feature_dim) == (20, 48)
    assert set(found.metrics()) == {"embedding/std", "rank/rankme", "rank/effective"}


def test_memory_has_an_end():
    source = Noise(50)
    found = probe(source, max_bytes=10 * 48).run(Pixels(), "cpu", batch_size=5)
    assert found.num_images == 10


def test_unreadable_images_are_left_out():
    assert probe(Noise(20, broken=[3, 4])).run(Pixels(), "cpu").num_images == 18


def test_random_state_and_mode_are_left_alone():
    model = nn.Sequential(Pixels(), nn.Dropout()).train()
    state = torch.get_rng_state()
    probe(Noise(20)).run(model[0], "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert model[0].training


def test_features_that_are_not_finite_are_left_out():
    features = torch.randn(6, 4)
    features[2, 1] = torch.nan
    assert measure(features).num_images == 5
    assert measure(torch.full((6, 4), torch.inf)) is None
