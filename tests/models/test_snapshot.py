"""A module is given back as it was; whole runs are in tests/engine/test_users_module.py."""

import pytest
import torch
from torch import nn

from lightly_core.models.snapshot import restored_after


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))


def test_a_part_that_was_exchanged_is_back_with_what_the_other_learned():
    module = net()
    norm, weight = module[1], module[1].weight
    with restored_after(module):
        # As Lightning does for several devices, then moves and trains.
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
        assert isinstance(module[1], nn.SyncBatchNorm)
        module.double()
        with torch.no_grad():
            module[1].running_mean.fill_(0.25)
            module[1].weight.fill_(2.0)
    assert module[1] is norm
    assert norm.weight is weight
    assert norm.weight.dtype == norm.running_mean.dtype == torch.float32
    assert norm.running_mean.tolist() == [0.25] * 4
    assert norm.weight.tolist() == [2.0] * 4


def test_what_was_only_rounded_gets_its_digits_back():
    module = net()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with restored_after(module, converted=True):
        module.to(torch.bfloat16)
        with torch.no_grad():
            module[0].bias += 1
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]) is (name != "0.bias"), name


def test_odd_memory_is_given_back():
    module = net()
    module[0].weight = nn.Parameter(module[0].weight.data.transpose(2, 3))
    module.register_buffer("grid", torch.arange(3.0).expand(2, 3))
    before = (module[0].weight.stride(), module.grid.stride())
    with restored_after(module):
        module.to(memory_format=torch.channels_last).double()
    assert module[0].weight.stride() == before[0]
    assert torch.equal(module.grid, torch.arange(3.0).expand(2, 3))


@pytest.mark.slow
def test_functions_compiled_in_place_are_off_meanwhile_and_back_afterwards():
    module = net()
    module.compile()
    compiled = module._compiled_call_impl
    with restored_after(module):
        assert module._compiled_call_impl is None
    assert module._compiled_call_impl is compiled


def test_what_is_no_module_is_left_alone():
    with restored_after("timm/test_vit"):
        pass
