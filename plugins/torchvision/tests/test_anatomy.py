"""Models that torchvision's constructors do not give, and what goes on inside of a wrapper."""

import copy

import pytest
import torch
from lazy_modules import LazyModule
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.models.probing import probe

torchvision = LazyModule("torchvision")
tv_wrapper = LazyModule("lightly_torchvision.wrapper")


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, kernel_size=8, stride=8)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 6)  # As wide as the features: not a part of the pooling.

    def forward(self, x):
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return self.head(x.amax(dim=(1, 2)))


class TokensWithoutClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, kernel_size=8, stride=8)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        tokens = self.mix(self.conv(x).flatten(2).transpose(1, 2))
        return self.head(tokens.mean(dim=1))


def small_vit(**more):
    arguments = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2}
    return torchvision.models.VisionTransformer(
        **{**arguments, "hidden_dim": 12, "mlp_dim": 16, **more}
    )


def test_channels_last_become_channels_first_and_pooling_gets_them_back():
    model = ChannelsLast()
    wrapper = tv_wrapper.TorchvisionWrapper(model)
    images = torch.randn(2, 3, 16, 24)
    found = wrapper.forward_features(images)
    own = model.norm(model.conv(images).permute(0, 2, 3, 1))
    torch.testing.assert_close(found["features"], own.permute(0, 3, 1, 2))
    pooled = wrapper.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), own.amax(dim=(1, 2)))


def test_tokens_without_class_token_are_put_back_into_rows_and_columns():
    model = TokensWithoutClass()
    wrapper = tv_wrapper.TorchvisionWrapper(model)
    images = torch.randn(2, 3, 16, 24)
    found = wrapper.forward_features(images)
    own = model.mix(model.conv(images).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found["features"], own)
    assert "cls_token" not in found
    pooled = wrapper.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), own.mean(dim=(2, 3)))


def test_a_vision_transformer_gives_patches_and_its_class_token():
    model = small_vit()
    wrapper = tv_wrapper.TorchvisionWrapper(model).eval()
    images = torch.randn(2, 3, 32, 32)
    found = wrapper.forward_features(images)
    tokens = model.encoder(
        torch.cat([model.class_token.expand(2, -1, -1), model._process_input(images)], dim=1)
    )
    torch.testing.assert_close(found["cls_token"], tokens[:, 0])
    torch.testing.assert_close(found["features"][:, :, 1, 2], tokens[:, 1 + 1 * 4 + 2])
    pooled = wrapper.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), tokens[:, 0])


def test_patches_alone_are_averaged():
    wrapper = tv_wrapper.TorchvisionWrapper(small_vit())
    patches = torch.randn(2, 12, 4, 4)
    pooled = wrapper.forward_pool({"features": patches})["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), patches.flatten(2).mean(2))


@pytest.mark.parametrize(("size", "patch"), [(40, 8), (28, 14), (384, 32)])
def test_the_only_size_of_a_model_is_found(size, patch):
    wrapper = tv_wrapper.TorchvisionWrapper(small_vit(image_size=size, patch_size=patch))
    assert probe(wrapper, 3, size).feature_size == (size // patch, size // patch)
    with pytest.raises(ConfigError, match=f"takes images of {size} x {size} pixels, got 224 x 224"):
        probe(wrapper, 3, 224)


@pytest.mark.families
@pytest.mark.parametrize(
    "head",
    [nn.Identity(), nn.Linear(512, 512), nn.Sequential(nn.Linear(512, 9), nn.Linear(9, 4))],
)
def test_a_changed_classifier_does_not_change_the_features(head):
    model = torchvision.models.resnet18()
    model.fc = head
    wrapper = tv_wrapper.TorchvisionWrapper(model).eval()
    images = torch.randn(2, 3, 64, 64)
    seen = []
    model.fc.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model(images)
    found = wrapper.forward_features(images)
    assert found["features"].shape == (2, 512, 2, 2)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), seen[0])


def test_gradient_checkpointing_inside_of_the_model_works():
    torch.manual_seed(1)
    arguments = {"growth_rate": 4, "block_config": (2, 2), "num_init_features": 8}
    plain = torchvision.models.DenseNet(**arguments)
    saving = torchvision.models.DenseNet(**arguments, memory_efficient=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    outputs = [
        tv_wrapper.TorchvisionWrapper(m).train().forward_features(images) for m in (plain, saving)
    ]
    torch.testing.assert_close(outputs[0]["features"], outputs[1]["features"])


# -------------------------------------------------------------------------------- modes


def test_dropout_follows_the_mode():
    model = small_vit(dropout=0.5)
    wrapper = tv_wrapper.TorchvisionWrapper(model)
    images = torch.randn(2, 3, 32, 32)

    def same_twice():
        first, second = (wrapper.forward_features(images)["features"] for _ in range(2))
        return torch.equal(first, second)

    assert not same_twice()
    wrapper.eval()
    assert same_twice()
    wrapper.train()
    assert not same_twice()


def test_functional_dropout_follows_the_mode():
    # DenseNet calls F.dropout(..., training=self.training), which recording makes a constant.
    model = torchvision.models.DenseNet(4, (2, 2), 8, drop_rate=0.5)
    wrapper = tv_wrapper.TorchvisionWrapper(model)
    images = torch.randn(2, 3, 64, 64)
    model.requires_grad_(False)
    for training, expected in ((True, False), (False, True)):
        wrapper.train(training)
        first, second = (wrapper.forward_features(images)["features"] for _ in range(2))
        assert torch.equal(first, second) is expected


@pytest.mark.families
def test_the_classifiers_dropout_is_no_part_of_pooling():
    wrapper = tv_wrapper.TorchvisionWrapper(torchvision.models.mobilenet_v2(dropout=0.9)).train()
    features = torch.rand(2, 1280, 2, 2)
    pooled = wrapper.forward_pool({"features": features})["pooled_features"]
    torch.testing.assert_close(pooled.flatten(1), features.mean(dim=(2, 3)))


@pytest.mark.families
def test_auxiliary_heads_are_not_computed():
    model = torchvision.models.googlenet(init_weights=False)
    called = []
    model.aux1.register_forward_hook(lambda *_: called.append("aux1"))
    model.inception5b.branch1.conv.register_forward_hook(lambda *_: called.append("main"))
    tv_wrapper.TorchvisionWrapper(model).train().forward_features(torch.randn(2, 3, 64, 64))
    assert called == ["main"]


def test_looking_changes_nothing_in_the_model():
    block = torchvision.models.resnet.BasicBlock
    model = torchvision.models.ResNet(block, [1, 1, 1, 1]).train()
    model.bn1.eval()
    state, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    attributes = set(vars(model))
    tv_wrapper.TorchvisionWrapper(model)
    torch.testing.assert_close(model.state_dict(), state)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert set(vars(model)) == attributes
    assert model.training
    assert not model.bn1.training


def test_the_wrapper_follows_the_models_type():
    wrapper = tv_wrapper.TorchvisionWrapper(torchvision.models.squeezenet1_1()).to(torch.float64)
    for again in (wrapper, tv_wrapper.TorchvisionWrapper(wrapper.model)):
        features = again.forward_features(torch.zeros(1, 3, 64, 64, dtype=torch.float64))
        assert features["features"].dtype == torch.float64


@pytest.mark.families
def test_replaced_layers_are_used():
    # What converting to synchronised batch norms does.
    wrapper = tv_wrapper.TorchvisionWrapper(torchvision.models.resnet18()).eval()
    wrapper.model.layer4 = nn.Sequential(wrapper.model.layer4[0], wrapper.model.layer4[1])
    wrapper.model.layer4[1].bn2 = nn.Sequential(wrapper.model.layer4[1].bn2, nn.ReLU())
    wrapper.model.layer4[1].bn2[0].weight.data.zero_()
    images = torch.randn(1, 3, 64, 64)
    block_input = []
    wrapper.model.layer4[1].conv1.register_forward_hook(lambda _, x, y: block_input.append(x[0]))
    features = wrapper.forward_features(images)["features"]
    torch.testing.assert_close(features, block_input[0])


def test_hooks_of_the_user_do_not_see_the_examination():
    model = torchvision.models.squeezenet1_1()
    shapes = []
    model.features[0].register_forward_hook(lambda _, x, y: shapes.append(tuple(x[0].shape)))
    wrapper = tv_wrapper.TorchvisionWrapper(model)
    assert shapes == []
    wrapper.forward_features(torch.zeros(1, 3, 64, 64))
    assert shapes == [(1, 3, 64, 64)]


@pytest.mark.families
def test_a_batch_of_one_trains():
    wrapper = tv_wrapper.TorchvisionWrapper(torchvision.models.resnet18()).train()
    features = wrapper.forward_features(torch.randn(1, 3, 64, 64))["features"]
    assert features.isfinite().all()


# ------------------------------------------------------------------------------- refusals


class DependsOnValues(ChannelsLast):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class HasConstant(ChannelsLast):
    def forward(self, x):
        return super().forward(x * torch.ones(1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (DependsOnValues(), "cannot follow the forward pass of DependsOnValues"),
        (HasConstant(), "HasConstant computes 1 tensors from neither its input nor"),
        (nn.Sequential(nn.Conv2d(4, 5, 3), nn.Flatten()), "takes no square image of 3 channels"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "no feature map found"),
    ],
)
def test_what_cannot_be_wrapped_says_why_and_what_to_do(model, message):
    with pytest.raises(ConfigError, match=rf"{message}(?s:.*)write a wrapper"):
        tv_wrapper.TorchvisionWrapper(model)
