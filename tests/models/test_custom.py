"""`lightly_core.wrap`: plain modules as backbones."""

import copy
import pickle
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.checkpoint import checkpoint

import lightly_core
from lightly_core import ConfigError, wrap
from lightly_core.models.probing import freeze_unused, probe
from lightly_core.protocols import ModelWrapper
from lightly_core.testing import parametrize_checks, wrapper_checks


class ConvNet(nn.Module):
    """Stride 8, width 8; a classifier that takes images of 64 pixels only."""

    def __init__(self, channels=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 4, stride=4)
        self.stages = nn.Sequential(
            nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 1)),
            nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 8, 2, stride=2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.behind = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8 * 8 * 8, 5)

    def forward(self, x):
        return self.classifier(self.behind(self.stages(self.stem(x))).flatten(1))


class ChannelsLast(nn.Module):
    """A map (B, h, w, 6) of stride 4 and a pooling that wants it like that."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.pool = LastAxisPool()

    def forward(self, x):
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class LastAxisPool(nn.Module):
    def forward(self, x):
        assert x.shape[-1] == 6
        return x.flatten(1, -2).amax(1)


class Transformer(nn.Module):
    """Tokens (B, P + h * w, 6) of patches of 8 pixels; with `size`, for this size only."""

    def __init__(self, num_prefix=2, size=None):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 8, stride=8)
        self.prefix = nn.Parameter(torch.randn(1, num_prefix, 6))
        num_tokens = 1 if size is None else num_prefix + (size[0] // 8) * (size[1] // 8)
        self.position = nn.Parameter(torch.randn(1, num_tokens, 6))
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.block(tokens + self.position)[:, 0])


class Returns(nn.Module):
    """Returns what a function makes of two maps, of stride 4 and 8, and pooled features."""

    def __init__(self, make):
        super().__init__()
        self.body = ConvNet()
        self.make = make

    def forward(self, x):
        fine = self.body.stages[0](self.body.stem(x))
        coarse = self.body.stages[1](fine)
        return self.make(fine, coarse, coarse.mean((2, 3)))


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 48)


def hooks(module):
    return [hook for part in module.modules() for hook in part._forward_hooks.values()]


# --------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("mode", [True, False])
def test_the_features_are_the_output_of_the_part(images, mode):
    model = ConvNet()
    wrapper = wrap(model, features="stages.1").train(mode)
    expected = copy.deepcopy(model).train(mode).stages(model.stem(images))
    features = wrapper.forward_features(images)
    torch.testing.assert_close(features, {"features": expected})
    assert features["features"].shape == (2, 8, 4, 6)
    pooled = wrapper.forward_pool(features)["pooled_features"]
    torch.testing.assert_close(pooled, expected.mean((2, 3), keepdim=True))
    assert wrapper.feature_dim() == 8


def test_it_is_a_wrapper_around_the_users_module():
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    assert isinstance(wrapper, nn.Module)
    assert isinstance(wrapper, ModelWrapper)
    assert wrapper.get_model() is model
    assert lightly_core.get_wrapped_model(wrapper) is wrapper
    assert list(wrapper.state_dict()) == [f"model.{name}" for name in model.state_dict()]


def test_channels_that_are_last_come_first(images):
    model = ChannelsLast()
    features = wrap(model).forward_features(images)["features"]
    torch.testing.assert_close(features, model(images).permute(0, 3, 1, 2))
    assert features.shape == (2, 6, 8, 12)


@pytest.mark.parametrize("num_prefix", [0, 1, 3])
def test_tokens_become_a_map_and_prefix_tokens(images, num_prefix):
    model = Transformer(num_prefix)
    wrapper = wrap(model, features="block")
    found = wrapper.forward_features(images)
    patches = model.block(model.patches(images).permute(0, 2, 3, 1) + model.position[:, None])
    torch.testing.assert_close(found["features"], patches.permute(0, 3, 1, 2))
    if not num_prefix:
        assert list(found) == ["features"]
        return
    prefix = model.block(model.prefix + model.position).expand(2, -1, -1)
    torch.testing.assert_close(found["prefix_tokens"], prefix)
    torch.testing.assert_close(found["cls_token"], prefix[:, 0])


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_a_transformer_for_images_of_one_size(size):
    model = Transformer(num_prefix=1, size=size)
    wrapper = wrap(model, features="block", image_size=size)
    found = wrapper.forward_features(torch.randn(2, 3, *size))
    assert found["features"].shape == (2, 6, size[0] // 8, size[1] // 8)
    with pytest.raises(ValueError, match=rf"fails on images of 72 x 72.*all but {size[0]} x"):
        wrapper.forward_features(torch.randn(2, 3, 72, 72))


def test_the_number_of_prefix_tokens_may_be_given():
    # 4 patches and 5 prefix tokens look like a grid of 3 x 3.
    model = Transformer(num_prefix=5, size=(16, 16))
    found = wrap(model, features="block", image_size=16, num_prefix_tokens=5)
    features = found.forward_features(torch.randn(2, 3, 16, 16))
    assert features["prefix_tokens"].shape == (2, 5, 6)
    assert features["features"].shape == (2, 6, 2, 2)


def last_hidden_state(fine, coarse, pooled):
    return types.SimpleNamespace(last_hidden_state=coarse, pooler_output=pooled)


@pytest.mark.parametrize(
    ("make", "features", "channels"),
    [
        (lambda fine, coarse, pooled: [fine, coarse], None, 8),
        (lambda fine, coarse, pooled: (fine, coarse, pooled), None, 8),
        (lambda fine, coarse, pooled: (fine, coarse, pooled), ":0", 6),
        (lambda fine, coarse, pooled: {"map": coarse, "pooled": pooled}, None, 8),
        (lambda fine, coarse, pooled: {"fine": fine, "coarse": coarse}, ":fine", 6),
        (lambda fine, coarse, pooled: {0: fine, 1: coarse}, ":1", 8),
        (lambda fine, coarse, pooled: {"last_hidden_state": coarse, "all": fine}, None, 8),
        (last_hidden_state, None, 8),
    ],
)
def test_lists_and_dicts(images, make, features, channels):
    wrapper = wrap(Returns(make), features=features)
    assert wrapper.feature_dim() == channels
    assert probe(wrapper, 3, (32, 48)).feature_dim == channels


def test_an_entry_of_a_part(images):
    model = nn.Sequential(Returns(lambda fine, coarse, pooled: [fine, coarse]), nn.Identity())
    assert wrap(model, features="0:0").feature_dim() == 6


@pytest.mark.parametrize(
    ("model", "features", "pool", "expected"),
    [
        (ConvNet, "stages", "avg", lambda x: x.mean((2, 3))),
        (ConvNet, "stages", "max", lambda x: x.amax((2, 3))),
        (ConvNet, "stages", "avgpool", lambda x: x.mean((2, 3))),
        (ConvNet, "stages", nn.AdaptiveMaxPool2d(1), lambda x: x.amax((2, 3))),
        (ConvNet, "stages", lambda x: x[:, :, 0, 0], lambda x: x[:, :, 0, 0]),
        (ChannelsLast, None, "pool", lambda x: x.amax((2, 3))),
        (Transformer, "block", "avg", lambda x: x.mean((2, 3))),
        (Transformer, "block", "max", lambda x: x.amax((2, 3))),
    ],
)
def test_pooling(images, model, features, pool, expected):
    wrapper = wrap(model(), features=features, pool=pool)
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    assert pooled.shape == (2, wrapper.feature_dim(), 1, 1)
    torch.testing.assert_close(pooled.flatten(1), expected(found["features"]))


def test_the_class_token_pools(images):
    wrapper = wrap(Transformer(), features="block", pool="cls")
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"].flatten(1)
    assert torch.equal(pooled, found["prefix_tokens"][:, 0])


def test_a_part_that_pools_tokens_gets_all_of_them(images):
    class AttentionPool(nn.Module):
        def forward(self, tokens):
            return tokens[:, 1] + tokens[:, -1]

    model = Transformer()
    model.attention = AttentionPool()
    wrapper = wrap(model, features="block", pool="attention")
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"].flatten(1)
    expected = found["prefix_tokens"][:, 1] + found["features"][:, :, -1, -1]
    torch.testing.assert_close(pooled, expected)


def test_a_part_given_as_object_is_not_registered_twice():
    model = ConvNet()
    wrapper = wrap(model, features="stages", pool=model.avgpool)
    assert list(wrapper.state_dict()) == [f"model.{name}" for name in model.state_dict()]
    twin = copy.deepcopy(wrapper)
    assert twin.pool == "avgpool"


# ------------------------------------------------------------------------ contract


def conv_net():
    return wrap(ConvNet(), features="stages")


def channels_last():
    return wrap(ChannelsLast(), pool="pool")


def transformer():
    return wrap(Transformer(), features="block", pool="cls")


@parametrize_checks(wrapper_checks(conv_net))
def test_a_part_holds_the_contract(check):
    check()


@parametrize_checks(wrapper_checks(channels_last))
def test_a_whole_module_holds_the_contract(check):
    check()


@parametrize_checks(wrapper_checks(transformer))
def test_tokens_hold_the_contract(check):
    check()


def test_four_channels():
    model = ConvNet(channels=4)
    assert probe(wrap(model, features="stages", num_input_channels=4), 4, 32).feature_dim == 8


def test_what_is_behind_the_features_is_frozen_in_a_run_only():
    model = ConvNet()
    wrapper = wrap(model, features="stages")
    assert all(parameter.requires_grad for parameter in model.parameters())
    names = freeze_unused(wrapper, 3, 32)
    behind = ("behind.weight", "behind.bias", "classifier.weight", "classifier.bias")
    assert names == [f"model.{name}" for name in behind]


def test_a_module_for_another_precision():
    wrapper = wrap(ConvNet().to(torch.bfloat16), features="stages", pool="avgpool")
    features = wrapper.forward_features(torch.randn(2, 3, 32, 32, dtype=torch.bfloat16))
    assert features["features"].dtype == torch.bfloat16


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
    wrapper = transformer().eval()
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


# --------------------------------------------------------------------------- errors


def message_of(*arguments, **settings):
    with pytest.raises(ConfigError) as caught:
        wrap(*arguments, **settings)
    return str(caught.value)


def test_class_scores_are_refused_and_parts_are_offered_best_first():
    lines = message_of(ConvNet(), image_size=64).splitlines()
    assert lines[0].startswith("wrap: ConvNet gives (B, 5), which is neither a map (B, D, h, w)")
    assert lines[1] == "  these parts give features for images of 64 x 64 pixels:"
    assert lines[2:] == [
        '    features="behind"  (B, 8, 8, 8)',
        '    features="stages.0"  (B, 6, 16, 16)',
        '    features="stem"  (B, 4, 16, 16)',
    ]


def test_layers_deep_inside_are_not_offered():
    block = nn.Sequential(nn.Sequential(nn.Conv2d(3, 7, 1), nn.ReLU()), nn.Conv2d(7, 5, 1))
    model = nn.Sequential(nn.Sequential(block), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    text = message_of(model)
    assert 'features="0"' in text
    assert 'features="0.0.0"' not in text


@pytest.mark.parametrize(
    ("path", "near"),
    [("stage", "'stages'"), ("stages.3", "'stages.1'"), ("1.0", "'stages.1.0'"), ("", None)],
)
def test_an_unknown_part(path, near):
    if near is None:
        path, near = "backbone.", "known: stem, stages"
    text = message_of(ConvNet(), features=path)
    assert "ConvNet has no such part" in text
    assert near in text


def test_an_unknown_pooling():
    text = message_of(ConvNet(), features="stages", pool="average")
    assert "pool='average'" in text
    assert "did you mean 'avg'" in text
    assert "known: avg, max, cls, stem" in text


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        ("classifier", r"pool='classifier' on a map \(B, 8, h, w\) fails: RuntimeError"),
        ("stages.0.1", r"pool='stages.0.1' .* fails"),
        (nn.Conv2d(8, 8, 4), "would be trained and then be missing"),
        (nn.Flatten(), r"gives 6272 numbers for each image\n  expected 8"),
        (lambda x: x.mean(), "fails"),
        ("cls", "takes the first prefix token, but 'stages' of ConvNet gives a map"),
    ],
)
def test_a_pooling_that_does_not_fit(pool, text):
    with pytest.raises(ConfigError, match=text):
        wrap(ConvNet(), features="stages", pool=pool)


def test_a_wrong_number_of_channels():
    text = message_of(ConvNet(), features="stages", num_input_channels=4)
    assert "ConvNet fails on images of 4 channels, 224 x 224 pixels: RuntimeError" in text
    assert "set num_input_channels=3" in text


def test_a_size_that_the_module_does_not_take():
    text = message_of(Transformer(size=(64, 64)), features="block")
    assert "set image_size to a size that it takes" in text
    assert 'features="patches"  (B, 6, 28, 28)' in text


def test_a_part_that_does_not_run():
    text = message_of(ConvNet(), features="avgpool", image_size=64)
    assert "the forward pass of ConvNet does not call this part" in text
    assert 'features="behind"' in text


def test_several_maps_by_name():
    model = Returns(lambda fine, coarse, pooled: {"fine": fine, "coarse": coarse})
    text = message_of(model)
    assert "'fine' (B, 6, 56, 56), 'coarse' (B, 8, 28, 28)" in text
    assert 'features=":coarse"' in text
    assert "gives no tensor 'rough'" in message_of(model, features=":rough")


def test_an_output_without_tensors():
    text = message_of(Returns(lambda fine, coarse, pooled: "text"))
    assert "Returns gives no tensor, which is neither" in text
    assert 'features="body.stages.1"' in text


def test_pooled_features_are_no_map():
    text = message_of(Returns(lambda fine, coarse, pooled: pooled[:, :, None, None]))
    assert "gives (B, 8, 1, 1), which is neither" in text


def test_prefix_tokens_that_cannot_be():
    text = message_of(Transformer(num_prefix=2), features="block", num_prefix_tokens=3)
    assert "it looks like tokens (B, 2 + h * w, 6)" in text
    text = message_of(ConvNet(), features="stages", num_prefix_tokens=1)
    assert "is for tokens (B, T, D)" in text


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (ConvNet, r"got the class ConvNet.*\n.*ConvNet\(\.\.\.\)"),
        ("torchvision/resnet18", "models by name go to model="),
        (torch.relu, "expected a torch.nn.Module"),
    ],
)
def test_what_is_no_module(module, text):
    with pytest.raises(ConfigError, match=text):
        wrap(module)


def test_a_wrapper_is_returned_as_it_is(toy):
    wrapper = toy.Wrapper()
    assert wrap(wrapper) is wrapper
    assert "is a wrapper already" in message_of(wrapper, features="conv")
    assert "is a wrapper already" in message_of(wrapper, pool="max")


def test_a_module_that_gives_something_else_in_training(images):
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return (self.conv(x), x) if self.training else self.conv(x)

    wrapper = wrap(Auxiliary())
    assert wrapper.eval().forward_features(images)["features"].shape[1] == 4
    with pytest.raises(ValueError, match="gives a tuple in training mode"):
        wrapper.train().forward_features(images)


def test_the_error_for_an_unknown_module_offers_wrap(catalog):
    from lightly_core.models.wrapping import build_model

    with pytest.raises(ConfigError, match=r'lightly_core\.wrap\(model, features="\.\.\."\)'):
        build_model(ConvNet(), catalog=catalog)
