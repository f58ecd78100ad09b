import pytest
import torch
from torch import nn

from lightly_core.parts.layer_decay import find_blocks, layer_decay_factors
from lightly_core.testing.models import TinyTokens


def network(depth=3):
    return TinyTokens(depth=depth)


def run_of(model):
    return lambda: model.forward_features(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("probed", [False, True])
def test_depths_of_a_transformer(probed):
    model = network()
    factors = layer_decay_factors(model, 0.5, run=run_of(model) if probed else None)
    assert factors.keys() == dict(model.named_parameters()).keys()
    for name, factor in factors.items():
        inside = name.removeprefix("_model.")
        if inside.startswith("blocks."):
            depth = int(inside.split(".")[1]) + 1
        else:
            depth = 4 if inside.startswith("norm.") else 0
        assert factor == 0.5 ** (4 - depth), name


def test_a_decay_of_one_changes_nothing():
    assert set(layer_decay_factors(network(), 1.0).values()) == {1.0}


def test_the_embedding_has_a_further_factor_and_tokens_do_not():
    factors = layer_decay_factors(network(), 0.9, embedding_factor=0.2)
    assert factors["_model.patch_embedding.weight"] == pytest.approx(0.2 * 0.9**4)
    assert factors["_model.prefix"] == factors["_model.positions"] == pytest.approx(0.9**4)


class Twisted(nn.Module):
    """Registers its modules in another order than it calls them."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.stem = nn.Sequential(nn.Linear(3, 4), nn.ReLU())

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_a_run_finds_the_true_order():
    model = Twisted()
    factors = layer_decay_factors(model, 0.5, run=lambda: model(torch.zeros(1, 3)))
    found = {name.rpartition(".")[0]: factor for name, factor in factors.items()}
    assert found == {"stem.0": 0.125, "blocks.0": 0.25, "blocks.1": 0.5, "head": 1.0}


def test_hooks_are_taken_away_and_no_gradient_is_left():
    model = Twisted()
    layer_decay_factors(model, 0.5, run=lambda: model(torch.zeros(1, 3)))
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_hooks_are_taken_away_after_a_failed_run():
    model = Twisted()
    with pytest.raises(RuntimeError):
        layer_decay_factors(model, 0.5, run=lambda: model(torch.zeros(1, 7)))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_longest_list_of_equal_blocks_is_found():
    model = nn.ModuleDict(
        {
            "mixed": nn.Sequential(*(nn.Linear(2, 2) if i % 2 else nn.GELU() for i in range(9))),
            "short": nn.Sequential(nn.Bilinear(9, 9, 9), nn.Bilinear(9, 9, 9)),
            "blocks": nn.ModuleList(nn.Linear(2, 2) for _ in range(4)),
            "free": nn.Sequential(*(nn.Identity() for _ in range(8))),
        }
    )
    assert find_blocks(model) == [f"blocks.{index}" for index in range(4)]


def test_of_two_lists_the_one_with_more_parameters_counts():
    model = nn.ModuleDict(
        {
            "small": nn.ModuleList(nn.Linear(2, 2) for _ in range(4)),
            "large": nn.ModuleList(nn.Bilinear(5, 5, 5) for _ in range(4)),
        }
    )
    assert find_blocks(model)[0] == "large.0"


class Stages(nn.Module):
    """Blocks in two stages, with a change of width between them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.first = nn.Sequential(nn.Bilinear(4, 4, 4))
        self.widen = nn.Linear(4, 6)
        self.second = nn.Sequential(nn.Bilinear(6, 6, 6), nn.Bilinear(6, 6, 6))
        self.norm = nn.LayerNorm(6)


def test_blocks_of_several_stages_are_counted_through():
    found = {
        name.removesuffix(".weight"): factor
        for name, factor in layer_decay_factors(Stages(), 0.5, embedding_factor=0.1).items()
        if not name.endswith("bias")
    }
    assert found == {
        "scale": 0.5**4,
        "stem": pytest.approx(0.1 * 0.5**4),
        "first.0": 0.5**3,
        "widen": 0.5**3,
        "second.0": 0.5**2,
        "second.1": 0.5,
        "norm": 1.0,
    }


def test_the_module_may_be_the_list_itself():
    factors = layer_decay_factors(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), 0.5)
    assert factors == {"0.weight": 0.25, "0.bias": 0.25, "1.weight": 0.5, "1.bias": 0.5}


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match="Linear has no list of at least two blocks"):
        layer_decay_factors(nn.Linear(2, 2), 0.9)


def test_a_run_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"did not call the blocks blocks\.0, blocks\.1,"):
        layer_decay_factors(Twisted(), 0.9, run=lambda: None)


@pytest.mark.parametrize(("decay", "factor"), [(0, 1), (1.1, 1), (-0.5, 1), (0.9, 0)])
def test_factors_out_of_range_are_refused(decay, factor):
    with pytest.raises(ValueError, match=f"decay={decay} and embedding_factor={factor}"):
        layer_decay_factors(network(), decay, embedding_factor=factor)
