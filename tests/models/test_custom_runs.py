"""`lightly_core.wrap`: what runs, in training and while looking, and what is left behind."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from plain_nets import ConvNet, Transformer, hooks
from torch import nn
from torch.utils.checkpoint import checkpoint

import lightly_core
from lightly_core import wrap
from lightly_core.models.probing import freeze_unused


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 48)


# --------------------------------------------------------------------- only a part runs


def test_nothing_behind_the_part_runs(images):
    model = ConvNet()
    wrapper = wrap(model, features="stages").train()
    ran = []
    model.behind.register_forward_hook(lambda *_: ran.append("behind"))
    wrapper.forward_features(images)
    assert ran == []
    assert model.behind.num_batches_tracked == 0
    assert model.stages[1][0].num_batches_tracked == 1


def test_hooks_are_removed(images):
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    assert hooks(model) == []
    wrapper.forward_features(images)
    assert hooks(model) == []
    with pytest.raises(RuntimeError, match="channels"):
        wrapper.forward_features(images[:, :2])
    assert hooks(model) == []


def test_a_hook_of_the_user_stays_and_acts(images):
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    before = wrapper.forward_features(images)["features"]
    model.stages.register_forward_hook(lambda part, inputs, output: 2 * output)
    torch.testing.assert_close(wrapper.forward_features(images)["features"], 2 * before)
    assert len(hooks(model)) == 1


def test_a_model_that_catches_exceptions_is_stopped(images):
    class Careful(ConvNet):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:
                return None

    assert wrap(Careful(), features="stages").forward_features(images)["features"].shape[1] == 8


def test_the_first_of_several_calls_counts(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    model = Twice()
    features = wrap(model, features="conv").forward_features(images)["features"]
    assert torch.equal(features, model.conv(images))


def test_two_threads_use_one_module(images):
    model = ConvNet().eval()
    paths = ["stem", "stages.0", "stages.1"]
    wrappers = {path: wrap(model, features=path) for path in paths}
    expected = {path: wrappers[path].forward_features(images)["features"] for path in paths}
    wrong = []

    def work(path):
        for _ in range(100):
            found = wrappers[path].forward_features(images)["features"]
            if not torch.equal(found, expected[path]):
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert hooks(model) == []


def test_gradients_pass_through_checkpointed_parts(images):
    class Saving(ConvNet):
        def forward(self, x):
            return checkpoint(self.stages, self.stem(x), use_reentrant=False).mean((2, 3))

    model = Saving()
    plain = copy.deepcopy(model)
    wrap(model, features="stages.1").forward_features(images)["features"].square().sum().backward()
    plain.stages(plain.stem(images)).square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(model.get_parameter(name).grad, parameter.grad)


@pytest.mark.filterwarnings("ignore:None of the inputs")  # torch says so too
def test_a_part_without_gradients_is_refused_in_training(images):
    class Saving(ConvNet):
        def forward(self, x):
            return checkpoint(self.stages, self.stem(x), use_reentrant=True).mean((2, 3))

    wrapper = wrap(Saving(), features="stages.1").train()
    with pytest.raises(ValueError, match=r"without gradients.*\n.*use_reentrant=False"):
        wrapper.forward_features(images)
    with torch.no_grad():
        wrapper.forward_features(images)
    wrapper.eval().forward_features(images)


def test_distributed_data_parallel(images, tmp_path):
    class Step(nn.Module):
        def __init__(self, wrapper):
            super().__init__()
            self.wrapper = wrapper

        def forward(self, x):
            return self.wrapper.forward_features(x)["features"].square().mean()

    wrapper = wrap(ConvNet(), features="stages")
    twin = copy.deepcopy(wrapper)
    freeze_unused(wrapper, 3, 32)
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(Step(wrapper))
        for _ in range(2):  # The second forward would complain of parameters without gradient.
            parallel(images).backward()
    finally:
        torch.distributed.destroy_process_group()
    for _ in range(2):
        Step(twin)(images).backward()
    torch.testing.assert_close(wrapper.model.stem.weight.grad, twin.model.stem.weight.grad)


def test_a_copy_in_a_pickle(images):
    wrapper = wrap(Transformer(), features="block", pool="cls").eval()
    twin = pickle.loads(pickle.dumps(wrapper))
    assert twin.pool == "cls"
    found, expected = twin.forward_features(images), wrapper.forward_features(images)
    torch.testing.assert_close(found, expected)


# ------------------------------------------------------------------------------ a run


class LightlyTrainWrapper(nn.Module):
    """As LightlyTrain's documentation asks for: the four methods, and nothing else."""

    def __init__(self, model):
        super().__init__()
        self._model = model
        self._pool = nn.AdaptiveAvgPool2d((1, 1))

    def get_model(self):
        return self._model

    def feature_dim(self):
        return 8

    def forward_features(self, x):
        return {"features": self._model.stages(self._model.stem(x))}

    def forward_pool(self, x):
        return {"pooled_features": self._pool(x["features"])}


@pytest.fixture
def pretrain(tmp_path):
    """Train for one epoch on 8 images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 255, (40, 40, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")

    def pretrain(model, **settings):
        return lightly_core.pretrain(
            out=tmp_path / "out",
            data=folder,
            model=model,
            method="simclr",
            method_args={"hidden_dim": 8, "output_dim": 4},
            transform_args={"image_size": 32},
            epochs=1,
            batch_size=4,
            num_workers=0,
            accelerator="cpu",
            precision="32-true",
            loggers={"tensorboard": None},
            **settings,
        )

    return pretrain


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [LightlyTrainWrapper, lambda model: wrap(model, features="stages")]
)
def test_a_run_trains_the_module_up_to_its_features(pretrain, make):
    model = ConvNet()
    before = copy.deepcopy(model.state_dict())
    result = pretrain(make(model))
    exported = torch.load(result.exported[0], weights_only=True)
    ConvNet().load_state_dict(exported, strict=True)
    torch.testing.assert_close(exported, dict(model.state_dict()))
    for name in ("stem.weight", "stages.0.1.weight", "stages.1.1.weight"):
        assert not torch.equal(exported[name], before[name])
    for name in ("behind.weight", "behind.running_mean", "classifier.weight"):
        assert torch.equal(exported[name], before[name])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert hooks(model) == []


@pytest.mark.slow
def test_a_run_with_tokens_and_embed_dim(pretrain):
    model = Transformer()
    result = pretrain(wrap(model, features="block", pool="cls"), embed_dim=5)
    scope = {"model": Transformer()}
    exec(result.snippet, scope)
    torch.testing.assert_close(scope["model"].state_dict(), model.state_dict())
    assert scope["embed"].weight.shape == (5, 6)


# ------------------------------------------------------------------- looking, no traces


class Unfriendly(ConvNet):
    """Cannot be tried without numbers: its path depends on them. Notes every call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x if x.mean().item() < 1e9 else -x)


@pytest.mark.parametrize("cls", [ConvNet, Unfriendly])
def test_wrapping_leaves_no_trace(cls):
    model = cls().train()
    model.stages[1][0].eval()
    state = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    wrapper = wrap(model, features="stages", pool="avgpool")
    assert wrapper.feature_dim() == 8
    torch.testing.assert_close(model.state_dict(), state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.training
    assert not model.stages[1][0].training
    assert hooks(model) == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_users_module_does_not_run_where_a_copy_will_do():
    class Counting(ConvNet):
        runs = 0

        def forward(self, x):
            type(self).runs += x.device.type != "meta"
            return super().forward(x)

    model = Counting()
    called = []
    model.stem.register_forward_hook(lambda *_: called.append(1))
    wrap(model, features="stages", pool="avgpool")
    assert Counting.runs == 0
    assert called == []
