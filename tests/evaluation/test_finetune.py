import copy

import numpy as np
import pytest
import torch

import lightly_core
from lightly_core.config.options.evaluate import EvaluateConfig, FinetuneProtocol
from lightly_core.config.options.settings import PythonObject
from lightly_core.errors import ConfigError, RunError
from lightly_core.evaluation.backbone import open_backbone
from lightly_core.evaluation.finetune import parameter_groups, resolved, trainable_copy
from lightly_core.plugins.discovery import get_plugins
from lightly_core.testing import TinyConv, TinyTokens

FINETUNE = {"epochs": 6, "batch_size": 16, "lr": 0.5, "min_scale": 0.5}


class Stripes:
    """Noisy images with horizontal (class 0) or vertical stripes; some cannot be read."""

    def __init__(self, size=96, broken=()):
        self.targets = [index % 2 for index in range(size)]
        self.broken = broken

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        if index in self.broken:
            raise OSError("broken")
        wave = np.where(np.arange(32) // 3 % 2, 220, 30)[:, None, None]
        wave = np.broadcast_to(wave, (32, 32, 3))
        wave = wave.swapaxes(0, 1) if self.targets[index] else wave
        noise = np.random.default_rng(index).integers(-30, 30, wave.shape)
        return (wave + noise).astype(np.uint8)


def evaluate(model, dataset=None, **settings):
    return lightly_core.evaluate(
        model=model,
        data=Stripes() if dataset is None else dataset,
        image_size=32,
        num_workers=0,
        knn=False,
        linear=settings.pop("linear", False),
        **settings,
    )


@pytest.fixture
def opened():
    """Open a module as the command does."""

    def opened(module):
        config = EvaluateConfig(
            model=PythonObject(module), data="builtin:digits", image_size=32, num_workers=0
        )
        return open_backbone(config, get_plugins().catalog)

    return opened


# --------------------------------------------------------------------------- finetune


@pytest.mark.slow
def test_a_separable_set_is_learned_and_the_loss_falls():
    found = evaluate(TinyConv(), finetune=FINETUNE).of("finetune")
    assert len(found["train_loss"]) == 6
    assert found["train_loss"][-1] < 0.5 * found["train_loss"][0]
    assert found["top1"] == 1.0
    assert found["settings"]["lr"] == 0.5
    assert (found["data"]["num_train"], found["data"]["num_val"]) == (76, 20)


@pytest.mark.families
def test_a_transformer_is_learned_with_layer_decay_and_warm_up():
    settings = {"optim": "adamw", "lr": 0.05, "layer_decay": 0.65, "warmup_epochs": 1.0}
    finetune = {**FINETUNE, **settings, "label_smoothing": 0.1, "epochs": 10}
    found = evaluate(TinyTokens(patch_size=4), finetune=finetune).of("finetune")
    assert found["train_loss"][-1] < found["train_loss"][0]
    assert found["top1"] > 0.8
    assert found["settings"]["weight_decay"] == 0.05


def test_layer_decay_needs_blocks(opened, toy):
    backbone = trainable_copy(opened(toy.Wrapper(toy.Net())))
    with pytest.raises(ConfigError, match=r"finetune.layer_decay=0.65: .* no list of at least two"):
        parameter_groups(backbone, torch.nn.Linear(8, 2), 0.65)


def test_the_given_network_stays_as_it_is():
    model = TinyConv().train()
    next(model.parameters()).requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    evaluate(model, Stripes(32), finetune={**FINETUNE, "epochs": 1})
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(module.training for module in model.modules())


@pytest.mark.slow
def test_results_depend_on_the_seed_only():
    torch.manual_seed(7)
    model = TinyConv()
    finetune = {**FINETUNE, "epochs": 2}
    first = evaluate(model, Stripes(48), finetune=finetune).of("finetune")
    state = torch.get_rng_state()
    second = evaluate(model, Stripes(48), finetune=finetune).of("finetune")
    assert torch.equal(torch.get_rng_state(), state)
    third = evaluate(model, Stripes(48), finetune=finetune, seed=1).of("finetune")
    assert first["train_loss"] == second["train_loss"] != third["train_loss"]


def test_a_loss_that_is_not_finite_stops():
    with pytest.raises(RunError, match=r"the loss is (nan|inf) in epoch 1\n.*finetune.lr"):
        evaluate(TinyConv(), finetune={**FINETUNE, "lr": 1e38})


def test_unreadable_images_are_left_out_of_the_training_too():
    found = evaluate(TinyConv(), Stripes(broken=range(10)), finetune={**FINETUNE, "epochs": 2})
    data = found.of("finetune")["data"]
    assert data["skipped_train"] + data["skipped_val"] == 10
    assert data["num_train"] + data["num_val"] == 86
    assert found.of("finetune")["notes"][0] == "10 images cannot be read and are skipped"


def test_what_the_author_froze_and_what_features_do_not_use_is_not_trained(opened, toy):
    model = toy.Net()
    model.conv.bias.requires_grad_(False)
    backbone = opened(toy.Wrapper(model))
    assert not any(parameter.requires_grad for parameter in backbone.wrapper.parameters())
    tuned = trainable_copy(backbone).wrapper
    flags = {name: p.requires_grad for name, p in tuned.model.named_parameters()}
    assert flags == {
        "conv.weight": True,
        "conv.bias": False,
        "norm.weight": True,
        "norm.bias": True,
        "head.weight": False,  # a classifier
        "head.bias": False,
    }
    groups = parameter_groups(trainable_copy(backbone), torch.nn.Linear(8, 2), 1.0)
    assert sum(len(group.parameters) for group in groups) == 3 + 2


def test_groups_of_a_transformer_have_the_rates_of_their_layers(opened):
    backbone = trainable_copy(opened(TinyTokens(depth=2)))
    head = torch.nn.Linear(16, 2)
    groups = parameter_groups(backbone, head, 0.1)
    scales = {id(p): group.lr_scale for group in groups for p in group.parameters}
    model = backbone.wrapper.get_model()
    assert scales[id(model.patch_embedding.weight)] == pytest.approx(1e-3)
    assert scales[id(model.blocks[0].qkv.weight)] == pytest.approx(1e-2)
    assert scales[id(model.blocks[1].qkv.weight)] == pytest.approx(1e-1)
    assert scales[id(model.norm.weight)] == scales[id(head.weight)] == 1


@pytest.mark.parametrize(("optim", "expected"), [("sgd", (0.05, 0.0)), ("adamw", (5e-4, 0.05))])
def test_defaults_follow_from_the_optimizer(optim, expected):
    found = resolved(FinetuneProtocol(optim=optim))
    assert (found.lr, found.weight_decay) == expected
    given = resolved(FinetuneProtocol(optim=optim, lr=1.0, weight_decay=0.3))
    assert (given.lr, given.weight_decay) == (1.0, 0.3)


# --------------------------------------------------------------------------- linear, augmented


LINEAR = {"solver": "sgd", "augment": True, "epochs": 4, "batch_size": 16, "min_scale": 0.5}


def tuned_conv():
    """A network whose features differ between the stripes."""
    torch.manual_seed(1)
    return TinyConv()


@pytest.mark.slow
def test_a_classifier_on_random_crops_learns():
    found = evaluate(tuned_conv(), linear={**LINEAR, "lr": 100.0}).of("linear")
    assert found["top1"] == 1.0
    assert found["settings"]["augment"] is True
    assert "penalties" not in found["settings"]


@pytest.mark.slow
def test_of_several_learning_rates_the_best_on_training_images_is_taken():
    found = evaluate(tuned_conv(), linear={**LINEAR, "lr": (1e-9, 100.0)}).of("linear")
    assert found["lr"] == 100.0
    assert set(found["held_out_top1"]) == {"1e-09", "100"}
    assert found["held_out_top1"]["100"] > found["held_out_top1"]["1e-09"]
    assert found["data"]["num_train"] == 76


def test_the_network_is_frozen_while_crops_are_classified():
    model = tuned_conv().train()
    state = copy.deepcopy(model.state_dict())
    evaluate(model, linear={**LINEAR, "epochs": 1})
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_classifier_that_diverges_stops():
    with pytest.raises(RunError, match=r"diverged at learning rate 3e\+38"):
        evaluate(tuned_conv(), linear={**LINEAR, "lr": 3e38, "batch_norm": True})
