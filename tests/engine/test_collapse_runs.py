"""Runs that are made to collapse are reported, healthy ones are not."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_core.plugins import discovery
from lightly_core.plugins.records import MethodRecord
from lightly_core.testing import TinyConv

MODULE = """
import torch
import torch.nn.functional as F
from attrs import define, field

from lightly_core.config.options.method import MethodConfig
from lightly_core.config.options.transform import TransformArgs
from lightly_core.parts.heads import mlp
from lightly_core.contracts import Method, StepResult


@define(frozen=True, kw_only=True)
class Args(MethodConfig):
    kind: str = field(default="simsiam", metadata={"help": "simsiam, line or healthy"})

    @classmethod
    def default_transform(cls):
        return TransformArgs(num_views=2)


class Siamese(Method):
    # SimSiam on the features themselves; only the healthy one stops the gradient of its target.
    def __init__(self, config, model, context):
        super().__init__(config, model, context)
        dim = model.feature_dim()
        self.projector = mlp([dim, 64, dim], norm="batch", last_norm=True)
        self.predictor = mlp([dim, 16, dim], norm="batch")

    def training_step(self, batch, step):
        first, second = (
            self.model.forward_pool(self.model.forward_features(view))["pooled_features"].flatten(1)
            for view in batch.views
        )
        unused = 0 * sum(weight.sum() for weight in self.parameters())
        if self.config.kind == "line":
            return StepResult(on_a_line(torch.cat([first, second])) + unused)
        targets = [first, second]
        if self.config.kind == "healthy":
            targets = [self.projector(target) for target in targets]
        guesses = [self.predictor(target) for target in targets]
        if self.config.kind == "healthy":
            targets = [target.detach() for target in targets]
        first = F.cosine_similarity(guesses[0], targets[1]).mean()
        second = F.cosine_similarity(guesses[1], targets[0]).mean()
        return StepResult(-(first + second) / 2 + unused)


def on_a_line(features):
    # Smallest, -1, where all differences have one direction.
    rows = F.normalize(features, dim=1)
    covariance = (rows - rows.mean(dim=0)).T @ (rows - rows.mean(dim=0))
    return -covariance.square().sum() / covariance.trace().square()
"""

DIGITS = {
    "image_size": 16,
    "gaussian_blur": None,
    "random_flip": None,
    "color_jitter": {"strength": 0.5},
    "random_resize": {"min_scale": 0.5},
}


@pytest.fixture
def siamese(tmp_path, monkeypatch):
    (tmp_path / "siamese.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    discovery.configure()
    catalog = discovery.get_plugins().catalog
    with catalog.registering(plugin="siamese", distribution="lightly-siamese", root="siamese"):
        catalog.add(
            MethodRecord(
                name="siamese",
                target="siamese:Siamese",
                config="siamese:Args",
                summary="For tests.",
            )
        )
    yield
    sys.modules.pop("siamese", None)
    discovery.configure()


class SomeDigits:
    """Some of the digits, without labels."""

    def __init__(self, count=512):
        from sklearn.datasets import load_digits

        self.images = [
            Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).convert("RGB")
            for image in load_digits().images[:count]
        ]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@pytest.fixture
def train(pretrain, tmp_path):
    def run(**changes):
        torch.manual_seed(0)
        settings = {
            "out": tmp_path / "out",
            "data": SomeDigits(),
            "model": TinyConv(),
            "batch_size": 64,
            "optim": "adamw",
            "optim_args": {"lr": 5e-2},
            "transform_args": DIGITS,
            "num_workers": 0,
            "precision": "32-true",
            "accelerator": "cpu",
            "loggers": {"tensorboard": None},
            "callbacks": {"signals": {"every_n_epochs": 2}},
        }
        return pretrain(**{**settings, **changes})

    return run


def reports(result):
    """Warnings of the log, without that of the summary."""
    lines = (result.folder / "train.log").read_text().splitlines()
    return [line for line in lines if "Step" in line and "collapse" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "text", "epochs"),
    [("simsiam", "all images get nearly the same", 10), ("line", "distinguish images", 4)],
)
def test_a_run_that_is_made_to_collapse_is_reported_once(kind, text, epochs, siamese, train):
    result = train(method="siamese", method_args={"kind": kind}, epochs=epochs)
    assert len(reports(result)) == 1
    assert text in result.collapse
    assert f"Warning: {result.collapse}" in (result.folder / "train.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "siamese", "method_args": {"kind": "healthy"}},
        {
            "method": "simclr",
            "method_args": {"temperature": 0.2, "hidden_dim": 64, "output_dim": 32},
        },
        {"method": "distillation"},
        {"method": "distillationv1"},
    ],
    ids=["simsiam", "simclr", "distillation", "distillationv1"],
)
def test_healthy_runs_are_not_reported(settings, siamese, train):
    if settings["method"].startswith("distillation"):
        torch.manual_seed(0)
        settings = {**settings, "method_args": {"teacher": TinyConv(feature_dim=48)}}
    result = train(**settings, epochs=8)
    assert result.collapse is None
    assert reports(result) == []
