"""Backbones with compiled forward passes train as the others do."""

import copy

import pytest
import torch
from torch import nn

import lightly_core
from lightly_core.engine import compiling
from lightly_core.engine.compiling import CompiledBackbones, outermost_wrappers
from lightly_core.errors import ConfigError

pytestmark = pytest.mark.slow  # torch's compiler takes seconds to import


class TwoNetworks(nn.Module):
    """A student and a teacher, which is another network."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher


@pytest.fixture
def networks(tiny_wrapper):
    teacher = copy.deepcopy(tiny_wrapper)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(0.5)
    return TwoNetworks(tiny_wrapper, teacher).eval()


def test_each_copy_computes_with_its_own_weights(networks):
    images = torch.rand(2, 3, 16, 16)
    parts = (networks.student, networks.teacher)
    expected = [part.forward_features(images)["features"] for part in parts]
    assert not torch.equal(*expected)
    with CompiledBackbones(networks, backend="eager").used():
        assert all("forward_features" in vars(part) for part in parts)
        for part, features in zip(parts, expected, strict=True):
            torch.testing.assert_close(part.forward_features(images)["features"], features)


def test_nothing_is_left_after_a_step_that_failed(networks):
    compiled = CompiledBackbones(networks, backend="eager")
    before = set(vars(networks.student))
    with pytest.raises(KeyError), compiled.used():
        raise KeyError
    assert set(vars(networks.student)) == before


def test_of_nested_wrappers_the_outermost_is_compiled(networks):
    class Outer(type(networks.student)):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

    outer = Outer(networks.student)
    assert outermost_wrappers(TwoNetworks(outer, networks.teacher)) == [outer, networks.teacher]


def test_a_machine_that_cannot_compile_is_refused_before_anything_is_written(
    short_run, monkeypatch
):
    def fail(*_):
        raise RuntimeError("\nno compiler found\nlong advice")

    monkeypatch.setattr(compiling, "_compiled", lambda *_: fail)
    settings = short_run(compile=True)
    with pytest.raises(ConfigError, match=r"config\.compile.*: no compiler found\n.*false"):
        lightly_core.pretrain(**settings)
    assert not settings["out"].exists()


def test_this_machine_compiles():
    compiling.require_compiler("cpu")


def test_the_losses_are_those_of_a_run_that_is_not_compiled(short_run, read_metrics, monkeypatch):
    # The backend that traces but generates no code takes a tenth of the time.
    monkeypatch.setattr(compiling, "require_compiler", lambda device: None)
    compiled = compiling._compiled
    monkeypatch.setattr(compiling, "_compiled", lambda function, _: compiled(function, "aot_eager"))
    settings = {"model": "timm/test_resnet", "callbacks": {"knn": None}}
    losses = {}
    for on in (True, False):
        result = lightly_core.pretrain(**short_run(**settings, compile=on, overwrite=True))
        losses[on] = [row["train_loss"] for row in read_metrics(result.folder)]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
