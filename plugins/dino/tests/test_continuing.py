"""Going on from trained weights."""

import pytest
import torch

from lightly_core.testing import TinyConv, TinyTokens
from lightly_dino.dino import DINO
from lightly_dino.dino_config import DINOConfig
from lightly_dino.dinov2 import DINOv2
from lightly_dino.dinov2_config import DINOv2Config

CLASSES = [
    pytest.param(DINO, DINOConfig, TinyConv, id="dino"),
    pytest.param(DINOv2, DINOv2Config, TinyTokens, id="dinov2"),
]


def weights(module):
    return [parameter.clone() for parameter in module.parameters()]


def same(module, before):
    return all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize(("method_class", "config_class", "backbone"), CLASSES)
def test_heads_warm_up_while_the_backbone_stays(
    build, make_batch, train, method_class, config_class, backbone
):
    method = build(
        method_class,
        config_class,
        backbone(),
        head_warmup_steps=3,
        freeze_last_layer_steps=0,
        momentum_start=0.5,
    )
    batch = make_batch(method)
    before, heads = weights(method.model), weights(method.heads)
    train(method, batch, 3)
    assert same(method.model, before)
    assert same(method.teacher["backbone"], before)
    assert not same(method.heads, heads)
    train(method, batch, 1, first=3)
    assert not same(method.model, before)


@pytest.mark.parametrize("backbone", [TinyConv, TinyTokens])
def test_the_anchor_is_zero_at_the_start_and_grows(build, make_batch, train, backbone):
    method = build(DINO, DINOConfig, backbone(), anchor_weight=0.5).eval()
    batch = make_batch()
    assert method.training_step(batch, 0).metrics["train_loss/anchor"] == pytest.approx(0, abs=1e-5)
    train(method, batch, 5, lr=1e-2)
    assert method.training_step(batch, 5).metrics["train_loss/anchor"] > 1e-4


def test_the_anchor_counts_with_its_weight(build, make_batch, train):
    method = build(DINOv2, DINOv2Config, anchor_weight=0.5)
    batch = make_batch(method)
    train(method, batch, 3, lr=1e-2)
    result = method.training_step(batch, 3)
    parts = {
        name: result.metrics[f"train_loss/{name}"] for name in ("dino", "ibot", "koleo", "anchor")
    }
    expected = parts["dino"] + parts["ibot"] + 0.1 * parts["koleo"] + 0.5 * parts["anchor"]
    torch.testing.assert_close(result.loss.detach(), expected)


def test_the_anchor_never_moves_and_is_in_the_checkpoint(build, make_batch, train):
    method = build(DINOv2, DINOv2Config, anchor_weight=0.5)
    before = weights(method.start)
    train(method, make_batch(method), 3, lr=1e-2)
    assert same(method.start, before)
    assert any(name.startswith("start.") for name in method.state_dict())
    assert all(parameter.grad is None for parameter in method.start.parameters())


@pytest.mark.slow
def test_an_anchor_holds_the_features(build, make_batch, train):
    distances = {}
    for weight in (1e-9, 10.0):
        method = build(DINO, DINOConfig, TinyTokens(), anchor_weight=weight)
        batch = make_batch()
        train(method, batch, 10, lr=3e-3)
        distances[weight] = method.training_step(batch, 10).metrics["train_loss/anchor"]
    assert distances[10.0] < 0.3 * distances[1e-9]


def test_without_an_anchor_there_is_no_copy(build):
    assert build(DINOv2, DINOv2Config).start is None


def test_the_backbone_may_learn_slowly(build):
    method = build(DINO, DINOConfig, TinyConv(), backbone_lr_factor=0.1)
    rates = {
        id(parameter): group.lr_scale
        for group in method.parameter_groups()
        for parameter in group.parameters
    }
    assert {rates[id(parameter)] for parameter in method.model.parameters()} == {0.1}
    assert {rates[id(parameter)] for parameter in method.heads.parameters()} == {1.0}
