"""What every backbone has to hold, for the smallest model of each family."""

import copy
import gc
import pickle
from typing import NamedTuple

import pytest
import torch
from torch import nn

from lightly_core.models.probing import freeze_unused, probe
from lightly_torchvision.library import TorchvisionLibrary


class Family(NamedTuple):
    """Where the model itself has its features and pooled features: (path, "input" or "output")."""

    size: int
    dim: int
    features: tuple[str, str]
    pooled: tuple[str, str] | None = None


BEFORE_AVGPOOL = ("avgpool", "input")
FAMILIES = {
    "alexnet": Family(64, 256, BEFORE_AVGPOOL),
    "convnext_tiny": Family(64, 768, BEFORE_AVGPOOL, ("classifier.2", "input")),
    "densenet121": Family(64, 1024, ("features", "output"), ("classifier", "input")),
    "efficientnet_b0": Family(64, 1280, BEFORE_AVGPOOL, ("classifier.1", "input")),
    "googlenet": Family(64, 1024, BEFORE_AVGPOOL, ("fc", "input")),
    "inception_v3": Family(96, 2048, BEFORE_AVGPOOL, ("fc", "input")),
    "mnasnet0_5": Family(64, 1280, ("layers", "output"), ("classifier.1", "input")),
    "mobilenet_v2": Family(64, 1280, ("features", "output"), ("classifier.1", "input")),
    "mobilenet_v3_small": Family(64, 576, BEFORE_AVGPOOL, ("classifier.0", "input")),
    "regnet_x_400mf": Family(64, 400, BEFORE_AVGPOOL, ("fc", "input")),
    "regnet_y_400mf": Family(64, 440, BEFORE_AVGPOOL, ("fc", "input")),
    "resnet18": Family(64, 512, BEFORE_AVGPOOL, ("fc", "input")),
    "shufflenet_v2_x0_5": Family(64, 1024, ("conv5", "output"), ("fc", "input")),
    "squeezenet1_1": Family(64, 512, ("classifier.1", "input")),
    "swin_t": Family(64, 768, BEFORE_AVGPOOL, ("head", "input")),
    "swin_v2_t": Family(64, 768, BEFORE_AVGPOOL, ("head", "input")),
}
LARGE_FAMILIES = {
    "efficientnet_v2_s": Family(64, 1280, BEFORE_AVGPOOL, ("classifier.1", "input")),
    "maxvit_t": Family(224, 512, ("classifier.0", "input"), ("classifier.3", "input")),
    "resnext50_32x4d": Family(64, 2048, BEFORE_AVGPOOL, ("fc", "input")),
    "vgg11": Family(64, 512, BEFORE_AVGPOOL),
    "vgg11_bn": Family(64, 512, BEFORE_AVGPOOL),
    "vit_b_32": Family(224, 768, ("conv_proj", "none"), ("heads", "input")),
    "wide_resnet50_2": Family(64, 2048, BEFORE_AVGPOOL, ("fc", "input")),
}
ALL = {**FAMILIES, **LARGE_FAMILIES}


@pytest.fixture(
    scope="module",
    params=[*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE_FAMILIES)],
)
def name(request):
    yield request.param
    gc.collect()


@pytest.fixture(scope="module")
def shared(name):
    """A wrapper that the tests of this module leave as it is."""
    torch.manual_seed(0)
    return TorchvisionLibrary().create(name, num_input_channels=3, model_args={}).eval()


@pytest.fixture
def images(name):
    return torch.randn(2, 3, ALL[name].size, ALL[name].size)


def seen_by(model, spot, images):
    """Run the whole model and return what goes into or comes out of one of its modules."""
    path, side = spot
    seen = []
    handle = model.get_submodule(path).register_forward_hook(
        # Clones: many modules behind work in place.
        lambda module, inputs, output: seen.append(
            (inputs[0] if side == "input" else output).clone()
        )
    )
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[0]


def test_features_are_those_that_the_model_itself_classifies(name, shared, images):
    family = ALL[name]
    with torch.no_grad():
        found = shared.forward_features(images)
        pooled = shared.forward_pool(found)["pooled_features"]
    if family.features[1] != "none":
        own = seen_by(shared.model, family.features, images)
        # DenseNet applies its last activation outside of `features`.
        own = own.relu() if name.startswith("densenet") else own
        torch.testing.assert_close(found["features"], own)
    if family.pooled is None:
        own = found["features"].mean(dim=(2, 3))
    else:
        own = seen_by(shared.model, family.pooled, images)
    torch.testing.assert_close(pooled, own.reshape(2, family.dim, 1, 1), rtol=1e-4, atol=1e-5)


def test_width_and_shapes(name, shared):
    result = probe(shared, 3, ALL[name].size)
    assert result.feature_dim == ALL[name].dim == shared.feature_dim()
    assert result.has_cls_token == name.startswith("vit")


def test_another_size_gives_another_grid_or_a_clear_error(name, shared):
    size = ALL[name].size
    if name.startswith(("maxvit", "vit")):
        with pytest.raises(ValueError, match=r"takes images of 224 x 224 pixels, got 64 x 96"):
            shared.forward_features(torch.zeros(1, 3, 64, 96))
        return
    small, large = probe(shared, 3, size), probe(shared, 3, (2 * size, 3 * size))
    for axis, factor in ((0, 2), (1, 3)):
        # Convolutions without padding lose some positions at the edges.
        assert large.feature_size[axis] >= factor * small.feature_size[axis]
        assert large.stride[axis] <= small.stride[axis]


def test_every_parameter_of_the_backbone_gets_a_gradient(name, shared):
    unused = freeze_unused(shared, 3, ALL[name].size)
    shared.requires_grad_(True)
    heads = ("model.fc.", "model.classifier.", "model.head.", "model.heads.", "model.aux")
    heads = (*heads, "model.AuxLogits.")
    assert unused
    assert all(parameter.startswith(heads) for parameter in unused)


def test_training_reaches_every_parameter_that_is_not_frozen(name, shared):
    wrapper = copy.deepcopy(shared).train()
    freeze_unused(wrapper, 3, ALL[name].size)
    for module in wrapper.modules():
        if hasattr(module, "p") and type(module).__name__ == "StochasticDepth":
            module.p = 0.0  # A layer that is skipped by chance gets no gradient.
    images = torch.randn(2, 3, ALL[name].size, ALL[name].size)
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    (found["features"].sum() + pooled.sum()).backward()
    without = [n for n, p in wrapper.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_evaluation_is_repeatable_and_a_pickle_gives_the_same(name, shared, images):
    loaded = pickle.loads(pickle.dumps(shared))
    with torch.no_grad():
        outputs = [w.forward_features(images)["features"] for w in (shared, shared, loaded)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_a_copy_uses_its_own_parameters(name, shared, images):
    duplicate = copy.deepcopy(shared)
    with torch.no_grad():
        before = shared.forward_features(images)["features"]
        assert torch.equal(duplicate.forward_features(images)["features"], before)
        for parameter in duplicate.parameters():
            parameter.zero_()
        assert torch.equal(shared.forward_features(images)["features"], before)
        assert duplicate.forward_features(images)["features"].abs().max() == 0


def test_each_tensor_is_in_the_state_dict_once(shared):
    own = shared.model.state_dict()
    assert list(shared.state_dict()) == [f"model.{key}" for key in own]
    assert len(list(shared.parameters())) == len(list(shared.model.parameters()))


def test_bfloat16_is_finite(name, shared, images):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = shared.forward_features(images)
        pooled = shared.forward_pool(found)["pooled_features"]
    assert found["features"].isfinite().all()
    assert pooled.isfinite().all()


def test_get_model_is_the_model(shared):
    assert type(shared.get_model()).__module__.startswith("torchvision.")
    assert isinstance(shared.get_model(), nn.Module)


def test_the_normalisation_has_a_number_for_each_channel():
    wrapper = TorchvisionLibrary().create("squeezenet1_1", num_input_channels=4, model_args={})
    mean, std = wrapper.input_normalization()
    assert mean == (0.485, 0.456, 0.406, 0.485)
    assert std == (0.229, 0.224, 0.225, 0.229)
