"""Modules that other programs have put something around."""

import copy

import pytest
import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.models.custom import wrap
from lightly_core.models.trainable import require_number_format
from lightly_core.models.unwrapping import unwrapped, unwrapped_path
from lightly_core.models.wrapping import build_model


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1))


@pytest.mark.slow
@pytest.mark.parametrize("around", [torch.compile, nn.DataParallel])
def test_the_module_inside_is_taken(around, catalog, toy):
    inner = type("Mine", (toy.Net,), {"__module__": "toynets.models"})()
    assert build_model(around(inner), catalog=catalog).wrapper.get_model() is inner
    wrapper = toy.Wrapper()
    assert build_model(around(wrapper), catalog=catalog).wrapper is wrapper
    assert unwrapped(nn.DataParallel(around(inner))) is inner


@pytest.mark.slow
def test_paths_lose_the_names_of_what_is_around():
    outer = nn.Sequential(torch.compile(nn.Sequential(nn.ReLU(), nn.ReLU())))
    assert unwrapped_path(outer, "0._orig_mod.1") == "0.1"
    assert unwrapped_path(nn.DataParallel(outer), "module.0._orig_mod") == "0"
    assert unwrapped_path(outer, "0.1") == "0.1"
    assert unwrapped_path(outer, "avg") == "avg"


@pytest.mark.parametrize("part", [False, True], ids=["whole", "a part"])
@pytest.mark.parametrize("how", ["script", "trace"])
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_scripted_and_traced_modules_are_refused(how, part, catalog):
    plain = net()
    images = torch.rand(1, 3, 8, 8)
    made = torch.jit.script(plain) if how == "script" else torch.jit.trace(plain, images)
    module = nn.Sequential(made) if part else made
    text = "the part '0' of the Sequential is" if part else "it is"
    for name, give in (("wrap", wrap), ("model", lambda m: build_model(m, catalog=catalog))):
        with pytest.raises(ConfigError, match=rf"{name}: {text} scripted or traced") as caught:
            give(module)
        assert "as it was before torch.jit.script or torch.jit.trace" in str(caught.value)


@pytest.mark.slow
def test_what_torch_export_makes_is_refused():
    exported = torch.export.export(net().eval(), (torch.rand(2, 3, 8, 8),)).module()
    with pytest.raises(ConfigError, match=r"wrap: it was created by torch\.export"):
        wrap(exported, image_size=8)


def test_a_hint_at_the_module_inside_of_something_else(catalog):
    averaged = torch.optim.swa_utils.AveragedModel(net())
    with pytest.raises(ConfigError, match=r"give the Sequential in it: model\.module"):
        build_model(averaged, catalog=catalog)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_quantized_weights_are_refused_whatever_the_precision(precision):
    wrapper = wrap(net())
    wrapper.get_model()[0].weight = nn.Parameter(
        torch.zeros(4, 3, 3, 3, dtype=torch.int8), requires_grad=False
    )
    with pytest.raises(ConfigError, match=r"quantized, 1 parts of it: model\.0"):
        require_number_format(wrapper, precision)


@pytest.mark.slow
def test_wrapping_changes_nothing_of_compiled_parts():
    module = net()
    module[0] = torch.compile(module[0])
    compiled, names = module[0], list(copy.copy(module.state_dict()))
    assert wrap(module, features="2").feature_dim() == 8
    assert module[0] is compiled
    assert list(module.state_dict()) == names
