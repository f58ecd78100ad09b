from torch import nn

from lightly_core.methods.groups import all_decayed, separate_group
from lightly_core.optim.groups import default_parameter_groups


def a_module():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    module[0].weight.requires_grad_(False)
    return module


def test_all_decayed_takes_biases_and_norms_and_leaves_frozen_parameters():
    module = a_module()
    (group,) = all_decayed(module)
    assert group.weight_decay is True
    expected = [p for p in module.parameters() if p is not module[0].weight]
    assert [id(p) for p in group.parameters] == [id(p) for p in expected]


def test_apart_moves_a_part_and_drops_groups_that_are_left_empty():
    module = nn.Linear(3, 2)
    (own,) = separate_group(default_parameter_groups(module), "own", module, constant_lr=True)
    assert (own.name, own.weight_decay, own.constant_lr) == ("own", True, True)
    module = a_module()
    groups = separate_group(all_decayed(module), "last", module[2])
    assert [group.name for group in groups] == ["decayed", "last"]
    assert [len(group.parameters) for group in groups] == [3, 2]
    assert not groups[0].constant_lr
    assert [group.weight_decay for group in groups] == [True, True]
