"""Embedding and evaluating on a CUDA device give what they give on a CPU."""

import numpy as np
import pytest

import lightly_core

pytestmark = pytest.mark.gpu

SETTINGS = {
    "model": "timm/test_resnet",
    "data": "builtin:digits",
    "image_size": 32,
    "num_workers": 2,
}


def both(call):
    return [call(accelerator) for accelerator in ("cpu", "gpu")]


@pytest.fixture
def weights(tmp_path):
    """A run without a step, so that both sides have the same random weights."""
    settings = {"model": "timm/test_resnet", "data": "builtin:digits", "method": "simclr"}
    result = lightly_core.pretrain(out=tmp_path / "run", epochs=0, accelerator="cpu", **settings)
    return str(result.exported[0])


def test_features(tmp_path, weights):
    def features(accelerator):
        out = tmp_path / f"{accelerator}.npz"
        settings = {**SETTINGS, "checkpoint": weights}
        lightly_core.embed(out=out, accelerator=accelerator, **settings)
        return np.load(out)["embeddings"]

    ours, theirs = both(features)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "protocols",
    [
        {"knn": {"k": [1, 20]}, "linear": False},
        {"knn": False, "linear": {"solver": "lbfgs"}},
        {"knn": False, "linear": {"solver": "sgd", "epochs": 5}},
        {"knn": False, "linear": False, "retrieval": True},
    ],
    ids=["knn", "lbfgs", "sgd", "retrieval"],
)
def test_accuracies(weights, protocols):
    def accuracies(accelerator):
        settings = {**SETTINGS, "checkpoint": weights, **protocols}
        result = lightly_core.evaluate(accelerator=accelerator, **settings)
        names = ("top1", "top5", "map")
        return [found[name] for found in result.results for name in names if name in found]

    ours, theirs = both(accuracies)
    assert ours
    assert ours == pytest.approx(theirs, abs=0.02)


def test_fine_tuning_learns(weights):
    settings = {**SETTINGS, "checkpoint": weights, "knn": False, "linear": False}
    result = lightly_core.evaluate(accelerator="gpu", finetune={"epochs": 10}, **settings)
    assert result.top1("finetune") > 0.5  # ten classes
