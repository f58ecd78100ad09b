import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lightly_core.config.options.callbacks import KnnArgs
from lightly_core.contracts import Sample, Transform
from lightly_core.data.base import ImageSource, Labels
from lightly_core.data.pixels import UnreadableImage
from lightly_core.errors import RunError
from lightly_core.evaluation.probe import LabelledProbe


class Greys(ImageSource):
    """Images of one grey value each, which identifies its class."""

    def __init__(self, targets, *, broken=(), labelled=True):
        self.targets = np.asarray(targets)
        self.broken = set(broken)
        self.labelled = labelled
        self.loaded = []

    def __len__(self):
        return len(self.targets)

    def name(self, index):
        return f"{index}.png"

    def load(self, index):
        self.loaded.append(index)
        if index in self.broken:
            raise UnreadableImage("cut off")
        return Image.new("RGB", (8, 8), (40 * int(self.targets[index]) + 20,) * 3)

    def labels(self):
        if not self.labelled:
            return None
        classes = tuple(f"c{number}" for number in range(self.targets.max() + 1))
        return Labels(self.targets, classes, "class folders")


class Plain(Transform):
    def sample(self, image, rng, index):
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        return Sample(index, [pixels], [torch.zeros(0)])

    def views(self, pixels, parameters):
        return [view.float() / 255 for view in pixels]


class Angles(nn.Module):
    """Feature: the grey value as an angle; or nothing of use."""

    def __init__(self, *, blind=False, nan_below=-1.0):
        super().__init__()
        self.blind = blind
        self.nan_below = nan_below

    def forward_features(self, x):
        return {"features": x}

    def forward_pool(self, x):
        grey = x["features"].mean((1, 2, 3))
        angle = torch.zeros_like(grey) if self.blind else 3 * grey
        angle = torch.where(grey < self.nan_below, torch.nan, angle)
        return {"pooled_features": torch.stack([angle.cos(), angle.sin()], 1)[:, :, None, None]}

    def feature_dim(self):
        return 2

    def get_model(self):
        return self


def probe_of(source, seed=0, **args):
    return LabelledProbe(source, KnnArgs(**args), Plain(), seed=seed)


def test_classes_that_the_features_tell_apart_are_all_found():
    probe = probe_of(Greys(np.arange(60) % 3), k=5)
    assert probe.available
    assert probe.reason is None
    result = probe.run(Angles(), "cpu")
    assert (result.top1, result.k, result.num_train, result.num_query) == (1.0, 5, 48, 12)
    assert result.notes == ()


def test_features_without_content_give_the_chance_level():
    result = probe_of(Greys(np.arange(60) % 3), k=48).run(Angles(blind=True), "cpu")
    assert result.top1 == pytest.approx(1 / 3)


def test_two_runs_look_at_the_same_images_and_the_seed_decides_which():
    source = Greys(np.arange(100) % 4)

    def looked_at(seed):
        probe = probe_of(source, seed=seed, max_images=20)
        found = []
        for _ in range(2):
            source.loaded = []
            probe.run(Angles(), "cpu", batch_size=7)
            found.append(source.loaded)
        assert found[0] == found[1]
        assert len(set(found[0])) == 20
        return found[0]

    assert looked_at(0) != looked_at(1)


def test_unreadable_images_are_left_out_and_counted():
    targets = np.arange(60) % 3
    whole = probe_of(Greys(targets)).run(Angles(), "cpu")
    result = probe_of(Greys(targets, broken=[0, 1, 2, 3])).run(Angles(), "cpu", batch_size=2)
    assert result.num_train + result.num_query == whole.num_train + whole.num_query - 4
    assert result.top1 == 1.0
    assert result.notes == ("images skipped, unreadable or with features that are not finite: 4",)


def test_images_with_features_that_are_not_finite_are_left_out_and_counted():
    result = probe_of(Greys(np.arange(60) % 3), k=5).run(Angles(nan_below=0.1), "cpu")
    assert result.num_train + result.num_query == 40
    assert result.top1 == 1.0
    assert "20" in result.notes[0]


@pytest.mark.parametrize("model", [Angles(nan_below=2.0), Angles()])
def test_nothing_left_is_an_error_that_says_so(model):
    broken = [] if model.nan_below > 0 else range(60)
    probe = probe_of(Greys(np.arange(60) % 3, broken=broken))
    with pytest.raises(RunError, match=f"60 images were skipped, {60 - len(broken)} of them"):
        probe.run(model, "cpu")


def test_classes_that_are_left_out_are_noted():
    source = Greys([0, 0, 0, 1, 1, 1, 2, 3])
    assert probe_of(source, k=1).run(Angles(), "cpu").notes == (
        "classes skipped because they have one image: 2",
    )
    many = Greys(np.repeat(np.arange(6), 2))
    assert probe_of(many, k=1, max_images=10).run(Angles(), "cpu").notes == (
        "classes skipped to stay within max_images: 1",
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Greys([0, 1, 0, 1], labelled=False), "no labels: "),
        (Greys([0, 0, 0, 0]), "all images have the same label (class folders)"),
        (Greys([0, 0, 0, 1]), "of 2 classes, fewer than two have at least two images"),
        (Greys([0, 1, 2, 3]), "of 4 classes, fewer than two have at least two images"),
    ],
)
def test_says_why_there_is_nothing_to_measure(source, reason):
    probe = probe_of(source)
    assert not probe.available
    assert reason in probe.reason
    with pytest.raises(ValueError, match="no kNN accuracy"):
        probe.run(Angles(), "cpu")
    assert source.loaded == []
