"""A plugin's transform takes the place of the built-in one."""

import sys

import pytest
import torch

from lightly_core.data.views.resample import Resampler
from lightly_core.errors import ConfigError
from lightly_core.plugins import discovery
from lightly_core.plugins.records import TransformRecord

MODULE = """
import torch
from attrs import define, field
from lightly_core.config.options.transform import TransformArgs
from lightly_core.contracts import Sample, Transform

@define(frozen=True, kw_only=True)
class Args(TransformArgs):
    shade: float = field(default=0.5, metadata={"help": "value of every pixel"})

class Flat(Transform):
    def __init__(self, args):
        self.args = args

    def sample(self, image, rng, index):
        view = torch.full((3, *self.args.size), int(255 * self.args.shade), dtype=torch.uint8)
        return Sample(index, [view] * self.args.num_views, [torch.zeros(1)] * self.args.num_views)

    def views(self, pixels, parameters):
        return [view.float() / 255 for view in pixels]
"""


@pytest.fixture
def flat(tmp_path, monkeypatch):
    (tmp_path / "flat_views.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    discovery.configure()
    catalog = discovery.get_plugins().catalog
    with catalog.registering(plugin="flat", distribution="lightly-flat", root="flat_views"):
        catalog.add(
            TransformRecord(
                name="flat",
                target="flat_views:Flat",
                config="flat_views:Args",
                summary="One shade.",
            )
        )
    yield
    sys.modules.pop("flat_views", None)
    discovery.configure()


def test_its_options_are_checked_and_its_views_are_used(flat, pretrain, short_run):
    settings = short_run(epochs=1, transform_args={"name": "flat", "image_size": 8, "shade": 1.0})
    settings["callbacks"] = {
        "signals": None,
        "knn": None,
        "report": None,
    }  # they have a view of their own
    seen = []
    forward = settings["model"].forward_features
    settings["model"].forward_features = lambda x: (seen.append(x), forward(x))[1]
    pretrain(**settings)
    assert seen[-1].shape == (16, 3, 8, 8)
    assert torch.equal(seen[-1], torch.ones_like(seen[-1]))


def test_a_key_that_it_does_not_have_is_named(flat, pretrain, short_run):
    with pytest.raises(ConfigError, match="did you mean 'shade'"):
        pretrain(**short_run(transform_args={"name": "flat", "shad": 1.0}))


def test_an_unknown_transform_is_refused(pretrain, short_run):
    with pytest.raises(ConfigError, match="unknown transform 'flatt'"):
        pretrain(**short_run(transform_args={"name": "flatt"}))


IN_MEMORY = """

from lightly_core.data.views.two_stage import TwoStageTransform

class Kept(TwoStageTransform):
    def views(self, pixels, parameters):
        return [2 * view for view in super().views(pixels, parameters)]
"""


@pytest.mark.slow
def test_a_transform_that_makes_views_from_memory_is_used_so(
    flat, tmp_path, monkeypatch, pretrain, short_run
):
    with (tmp_path / "flat_views.py").open("a") as file:
        file.write(IN_MEMORY)
    catalog = discovery.get_plugins().catalog
    with catalog.registering(plugin="flat", distribution="lightly-flat", root="flat_views"):
        record = TransformRecord(
            name="kept", target="flat_views:Kept", config="flat_views:Args", summary="Doubled."
        )
        catalog.add(record)
    settings = short_run(epochs=1, in_memory=True, transform_args={"name": "kept", "image_size": 8})
    settings["callbacks"] = {"signals": None, "knn": None}
    made = []
    resample = Resampler.__call__
    monkeypatch.setattr(Resampler, "__call__", lambda *a: made.append(a) or resample(*a))
    pretrain(**settings)
    assert made
