import pytest
import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.methods.groups import all_decayed
from lightly_core.optim.groups import (
    ParameterGroup,
    default_parameter_groups,
    split_by_factor,
    with_decay,
)


class LayerNorm2d(nn.Module):
    """A norm as libraries write it, with weights shaped for broadcasting over images."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 2, 1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.attn = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.logit_scale = nn.Parameter(torch.zeros(2, 1, 1))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.register_tokens = nn.Parameter(torch.zeros(1, 3, 4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.query_tokens = nn.ParameterList([nn.Parameter(torch.zeros(2, 4))])
        self.patch_embed = nn.Conv2d(3, 4, 2)
        self.embeddings = nn.Embedding(7, 4)
        self.attention = Attention()
        self.norm = nn.LayerNorm((2, 4))
        self.layer_scale_1 = nn.Parameter(torch.ones(4, 2))
        self.gamma_2 = nn.Parameter(torch.ones(4, 2))
        self.mixing = nn.Parameter(torch.zeros(5, 4))


VIT_DECAYED = {
    "patch_embed.weight",
    "attention.query.weight",
    "attention.attn.in_proj_weight",
    "attention.attn.out_proj.weight",
    "mixing",
}

ZOO = {
    "conv and batch norm": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 1)),
        {"0.weight", "2.weight"},
    ),
    "linear to one number": (nn.Linear(4, 1), {"weight"}),
    "layer norm over two axes": (
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((3, 4))),
        {"0.weight"},
    ),
    "norm of a library": (nn.Sequential(nn.Linear(4, 4), LayerNorm2d()), {"0.weight"}),
    "recurrent": (nn.GRU(3, 4), {"weight_ih_l0", "weight_hh_l0"}),
    "transformer": (Vit(), VIT_DECAYED),
}


def names_in(module, group):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [names[id(parameter)] for parameter in group.parameters]


@pytest.mark.parametrize("module", ZOO)
def test_matrices_are_decayed_and_nothing_else(module):
    module, expected = ZOO[module]
    decayed, not_decayed = default_parameter_groups(module)
    assert set(names_in(module, decayed)) == expected
    assert decayed.weight_decay
    assert not not_decayed.weight_decay


@pytest.mark.parametrize("module", ZOO)
def test_every_trainable_parameter_is_in_exactly_one_group(module):
    module, _ = ZOO[module]
    names = [name for group in default_parameter_groups(module) for name in names_in(module, group)]
    assert sorted(names) == sorted(name for name, _ in module.named_parameters())


def test_frozen_parameters_are_left_out():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    decayed, not_decayed = default_parameter_groups(module)
    assert names_in(module, decayed) == ["1.weight"]
    assert names_in(module, not_decayed) == ["1.bias"]


@pytest.mark.parametrize("embedding_first", [True, False])
def test_a_shared_parameter_appears_once_and_follows_the_owner_without_decay(embedding_first):
    layers = [nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)]
    layers[1].weight = layers[0].weight
    module = nn.Sequential(*(layers if embedding_first else layers[::-1]))
    (group,) = default_parameter_groups(module)
    assert group.name == "not_decayed"
    assert [id(parameter) for parameter in group.parameters] == [id(layers[0].weight)]


def test_groups_without_parameters_are_dropped():
    (group,) = default_parameter_groups(nn.Linear(2, 2, bias=False))
    assert (group.name, group.weight_decay) == ("decayed", True)


def test_the_order_is_that_of_the_module():
    module = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5)))
    decayed, _ = default_parameter_groups(module)
    assert names_in(module, decayed) == [f"{i}.weight" for i in range(5)]


def test_a_module_without_trainable_parameters_is_refused():
    with pytest.raises(ConfigError, match=r"'Linear' has no trainable parameters"):
        default_parameter_groups(nn.Linear(2, 2).requires_grad_(False))


def test_a_split_gives_each_group_one_rate_and_loses_nothing():
    one, two, three = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    group = ParameterGroup("all", [one, two, three], weight_decay=0.5, lr_scale=0.2)
    split = split_by_factor([group], {id(one): 0.5, id(three): 0.5})
    found = [(g.name, g.parameters, g.weight_decay, g.lr_scale) for g in split]
    assert found == [("all_lr0.5", [one, three], 0.5, 0.1), ("all", [two], 0.5, 0.2)]


def described(groups):
    return {group.name: (len(group.parameters), group.weight_decay) for group in groups}


def test_all_or_only_weights_can_be_decayed_whatever_the_groups_say():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    usual, everything = default_parameter_groups(module), all_decayed(module)
    assert described(with_decay(usual, module, "method")) == described(usual)
    assert described(with_decay(everything, module, "method")) == {"decayed": (4, True)}
    for groups in (usual, everything):
        weights = with_decay(groups, module, "weights")
        assert described(weights) == {"decayed": (1, True), "not_decayed": (3, False)}
        assert names_in(module, weights[0]) == ["0.weight"]
    assert described(with_decay(usual, module, "all")) == {
        "decayed": (1, True),
        "also_decayed": (3, True),
    }
    assert described(usual) == {"decayed": (1, True), "not_decayed": (3, False)}


@pytest.mark.parametrize("decayed", ["weights", "all"])
def test_rates_and_factors_on_the_decay_are_kept(decayed):
    module = nn.Linear(2, 2)
    options = {"weight_decay": 0.25, "lr_scale": 0.5, "constant_lr": True}
    found = with_decay(
        [ParameterGroup("own", list(module.parameters()), **options)], module, decayed
    )
    assert {(group.lr_scale, group.constant_lr) for group in found} == {(0.5, True)}
    expected = {"own": (2, 0.25)} if decayed == "all" else {
        "own": (1, 0.25),
        "own_not_decayed": (1, False),
    }  # fmt: skip
    assert described(found) == expected
