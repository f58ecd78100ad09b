"""What a run does to the module that the user gave it: nothing but new weights."""

import copy

import lightning.pytorch as lightning
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lightly_core
from lightly_core.errors import ConfigError, RunError


class Net(nn.Module):
    """A stem with batch norm, two stages, dropout and a classifier behind the features."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.stage = nn.Sequential(
            nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1)
        )
        self.classifier = nn.Linear(8, 5)
        self.grad_checkpointing = False

    def forward(self, x):
        return self.classifier(self.stage(self.stem(x)).mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def run_of(short_run, net, **changes):
    return short_run(**{"model": lightly_core.wrap(net, features="stage"), "epochs": 1, **changes})


def grad_of(parameter):
    grad = parameter.grad
    return None if grad is None else (id(grad), grad.tolist(), grad.dtype, grad.stride())


def inventory(net):
    """All that can be seen of a module beside the values of its weights."""
    hooks = [name for name in vars(nn.Module()) if "hook" in name]
    return {
        "parts": [(path, id(part), type(part)) for path, part in net.named_modules()],
        "modes": {path: part.training for path, part in net.named_modules()},
        "hooks": [list(getattr(part, name) or ()) for part in net.modules() for name in hooks],
        "parameters": {
            name: (id(p), p.requires_grad, grad_of(p), p.dtype, p.device, p.stride())
            for name, p in net.named_parameters()
        },
        "buffers": {name: (b.dtype, b.device, b.stride()) for name, b in net.named_buffers()},
        "switch": net.grad_checkpointing,
    }


class Stop(lightning.Callback):
    """Ends a run in its first step, by an error or as Ctrl-C does."""

    def __init__(self, error):
        self.error = error

    def on_before_optimizer_step(self, *args):
        raise self.error


HALF = {"precision": "bf16-true"}
EMBEDDED = {"embed_dim": 4}
AVERAGE = {"method": "byol", "method_args": {"hidden_dim": 8, "output_dim": 4}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ready", "changes"),
    [
        pytest.param("in training", {}, id="in training"),
        pytest.param("in evaluation", {}, id="in evaluation"),
        # In evaluation, in training and frozen, all in one.
        pytest.param("partly frozen", {}, id="partly frozen"),
        pytest.param("partly frozen", HALF, id="partly frozen, half"),
        pytest.param("partly frozen", EMBEDDED, id="partly frozen, embedded"),
        pytest.param("partly frozen", AVERAGE, id="partly frozen, average"),
        pytest.param("in evaluation", {**HALF, **EMBEDDED}, id="in evaluation, half, embedded"),
    ],
)
def test_after_a_run_it_is_as_it_was_but_for_its_weights(net, short_run, pretrain, ready, changes):
    if ready == "in evaluation":
        net.eval()
    if ready == "partly frozen":
        net.stem.requires_grad_(False)
        net.stem[1].eval()
    net.stage.register_forward_hook(lambda part, inputs, output: None)
    net.stage[0].weight.grad = torch.ones_like(net.stage[0].weight)
    before = inventory(net)
    weights = copy.deepcopy(net.state_dict())
    pretrain(**run_of(short_run, net, **changes))
    assert inventory(net) == before
    assert not torch.equal(net.stage[0].weight, weights["stage.0.weight"])
    assert torch.equal(net.classifier.weight, weights["classifier.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("error", [RunError("stopped"), KeyboardInterrupt()])
def test_after_a_run_that_ended_early_too(net, short_run, pretrain, error):
    net.eval()
    before = inventory(net)
    with pytest.raises((RunError, KeyboardInterrupt, SystemExit)):
        pretrain(**run_of(short_run, net, trainer_args={"callbacks": [Stop(error)]}))
    assert inventory(net) == before


def test_after_a_refused_run_too(net, short_run, pretrain):
    before = inventory(net)
    with pytest.raises(ConfigError):
        pretrain(**run_of(short_run, net, trainer_args={"profiler": "no such"}))
    assert inventory(net) == before


def test_a_part_in_evaluation_mode_stays_so_and_keeps_its_statistics(net, short_run, pretrain):
    net.stem[1].eval().requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    result = pretrain(**run_of(short_run, net))
    for name, value in net.stem[1].state_dict().items():
        assert torch.equal(value, before[f"stem.1.{name}"])
    assert not torch.equal(net.stage[1].running_mean, before["stage.1.running_mean"])
    text = (result.folder / "train.log").read_text()
    assert "1 parts stay in evaluation mode, as they were given: model.stem.1" in text
    assert "2 of 10 parameters of Net are frozen, as they were given (16 of " in text


@pytest.mark.slow
def test_a_module_in_evaluation_mode_as_a_whole_is_trained_in_training_mode(
    net, short_run, pretrain
):
    net.eval()
    before = copy.deepcopy(net.state_dict())
    pretrain(**run_of(short_run, net))
    for part in ("stem", "stage"):
        assert not torch.equal(
            net.state_dict()[f"{part}.1.running_mean"], before[f"{part}.1.running_mean"]
        )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["all", "all but the classifier"])
def test_a_backbone_without_anything_to_train_is_refused(net, short_run, pretrain, tmp_path, what):
    net.requires_grad_(False)
    if what == "all but the classifier":
        net.classifier.requires_grad_(True)
    frozen = 10 if what == "all" else 8
    with pytest.raises(ConfigError, match=f"{frozen} of its 10 parameters are frozen .*\n  unfre"):
        pretrain(**run_of(short_run, net))
    assert not (tmp_path / "out").exists()
    pretrain(**run_of(short_run, net, epochs=0))


@pytest.mark.slow
def test_a_frozen_backbone_under_a_layer_of_embed_dim_is_left_alone(net, short_run, pretrain):
    net.eval().requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    result = pretrain(**run_of(short_run, net, embed_dim=4))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert "only the layer of embed_dim is" in (result.folder / "train.log").read_text()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_weights_of_another_format_are_refused(
    net, short_run, pretrain, tmp_path, dtype, precision
):
    settings = run_of(short_run, net, precision=precision)
    net.to(dtype)
    with pytest.raises(ConfigError, match=str(dtype).removeprefix("torch.")):
        pretrain(**settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_weights_of_another_format_are_converted_where_the_precision_says_so(
    net, short_run, pretrain
):
    net.to(torch.bfloat16)
    pretrain(**run_of(short_run, net, precision="64-true"))
    assert net.stage[0].weight.dtype == torch.bfloat16


def test_weights_without_values_are_refused(net, short_run, pretrain):
    settings = run_of(short_run, net)
    net.to("meta")
    with pytest.raises(ConfigError, match="no values, they are on the meta device"):
        pretrain(**settings)


def test_weights_of_inference_mode_are_refused(short_run, pretrain):
    with torch.inference_mode():
        net = Net()
    with pytest.raises(ConfigError, match=r"made in torch\.inference_mode"):
        pretrain(**run_of(short_run, net))


@pytest.mark.slow
def test_a_parameter_of_integers_is_no_obstacle(net, short_run, pretrain):
    table = nn.Parameter(torch.arange(4), requires_grad=False)
    net.register_parameter("table", table)
    pretrain(**run_of(short_run, net))
    assert table.tolist() == [0, 1, 2, 3]


def exported(result):
    return load_file(result.folder / "exported_models/exported_last.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("around", [torch.compile, nn.DataParallel])
@pytest.mark.parametrize("named", ["stage", "inner"])
def test_a_compiled_or_parallel_module_is_the_one_inside(net, short_run, pretrain, around, named):
    outer = around(net)
    features = {
        "stage": "stage",
        "inner": f"{next(name for name, _ in outer.named_children())}.stage",
    }
    wrapper = lightly_core.wrap(outer, features=features[named])
    assert wrapper.get_model() is net
    result = pretrain(**run_of(short_run, net, model=wrapper))
    assert exported(result).keys() == net.state_dict().keys()
    assert torch.equal(exported(result)["stage.0.weight"], net.stage[0].weight)


@pytest.mark.slow
def test_a_compiled_part_is_there_again_after_the_run(net, short_run, pretrain):
    plain = net.state_dict().keys()
    compiled = net.stage = torch.compile(net.stage)
    result = pretrain(**run_of(short_run, net))
    assert net.stage is compiled
    assert exported(result).keys() == plain
    assert torch.equal(exported(result)["stage.0.weight"], compiled._orig_mod[0].weight)
    assert torch.equal(exported(result)["stage.1.running_mean"], compiled._orig_mod[1].running_mean)
