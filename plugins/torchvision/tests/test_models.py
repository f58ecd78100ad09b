"""The smallest model of each family: the contract, and the model's own features."""

import gc
from dataclasses import dataclass, field

import pytest
import torch
from circles import mark_others, second_checks
from torch import nn

from lightly_core.contracts.capabilities import InputNormalization
from lightly_core.models.probing import probe
from lightly_core.testing import Check, ModelExample, parametrize_checks

# Most of the time would go into drawing weights.
pytestmark = pytest.mark.usefixtures("quick_numbers")


@dataclass(frozen=True)
class Family:
    """Where the model itself has its features and pooled features: (path, "input" or "output")."""

    size: int
    dim: int
    features: tuple[str, str] | None
    pooled: tuple[str, str] | None = None
    model_args: dict[str, object] = field(default_factory=dict)


BEFORE_AVGPOOL = ("avgpool", "input")
FAMILIES = {
    "alexnet": Family(64, 256, BEFORE_AVGPOOL),
    "convnext_tiny": Family(64, 768, BEFORE_AVGPOOL, ("classifier.2", "input")),
    "densenet121": Family(64, 1024, ("features", "output"), ("classifier", "input")),
    "efficientnet_b0": Family(64, 1280, BEFORE_AVGPOOL, ("classifier.1", "input")),
    "efficientnet_v2_s": Family(64, 1280, BEFORE_AVGPOOL, ("classifier.1", "input")),
    "googlenet": Family(64, 1024, BEFORE_AVGPOOL, ("fc", "input")),
    "inception_v3": Family(96, 2048, BEFORE_AVGPOOL, ("fc", "input")),
    "maxvit_t": Family(224, 512, ("classifier.0", "input"), ("classifier.3", "input")),
    "mnasnet0_5": Family(64, 1280, ("layers", "output"), ("classifier.1", "input")),
    "mobilenet_v2": Family(64, 1280, ("features", "output"), ("classifier.1", "input")),
    "mobilenet_v3_small": Family(64, 576, BEFORE_AVGPOOL, ("classifier.0", "input")),
    "regnet_x_400mf": Family(64, 400, BEFORE_AVGPOOL, ("fc", "input")),
    "regnet_y_400mf": Family(64, 440, BEFORE_AVGPOOL, ("fc", "input")),
    "resnet18": Family(64, 512, BEFORE_AVGPOOL, ("fc", "input")),
    "resnext50_32x4d": Family(64, 2048, BEFORE_AVGPOOL, ("fc", "input")),
    "shufflenet_v2_x0_5": Family(64, 1024, ("conv5", "output"), ("fc", "input")),
    "squeezenet1_1": Family(64, 512, ("classifier.1", "input")),
    "swin_t": Family(64, 768, BEFORE_AVGPOOL, ("head", "input")),
    "swin_v2_t": Family(64, 768, BEFORE_AVGPOOL, ("head", "input")),
    "vgg11": Family(64, 512, BEFORE_AVGPOOL),
    "vgg11_bn": Family(64, 512, BEFORE_AVGPOOL),
    "vit_b_32": Family(64, 768, None, ("heads", "input"), {"image_size": 64}),
    "wide_resnet50_2": Family(64, 2048, BEFORE_AVGPOOL, ("fc", "input")),
}
#: The one that `test_contract` tries.
SMALLEST = "squeezenet1_1"
#: Of the same class as a smaller one, which the contract tries. Their snippets, shapes and
#: gradients are tried in `test_all_names`, their features below.
TWINS = {
    *("efficientnet_v2_s", "regnet_y_400mf", "resnext50_32x4d", "vgg11_bn", "wide_resnet50_2"),
}
EXAMPLES = [
    *(
        ModelExample(name, family.model_args, family.size, [InputNormalization])
        for name, family in FAMILIES.items()
        if name != SMALLEST and name not in TWINS
    ),
    # With an argument of ours.
    ModelExample("resnet18", {"small_stem": True, "num_classes": 7}, 32, [InputNormalization]),
]


#: Files and snippets are tried with those whose building depends on more than the name, and with
#: one more. `test_all_names` compares the tensors of the snippet of every model.
SAVED = {
    *("densenet121", "googlenet", "inception_v3", "mnasnet0_5", "mobilenet_v3_small"),
    *("resnet18(small_stem=True, num_classes=7)", "vit_b_32(image_size=64)"),
}
#: Checks of what the wrapper's class does, whatever module it holds: a copy, a state dict, the
#: module itself, side effects, a batch of one. The models of `SAVED` are enough for them.
OF_THE_CLASS = ("W6", "W7", "W9", "W10", "W13", "E1", "E2")


def chosen(check: Check) -> bool:
    return check.subject in SAVED or check.code not in OF_THE_CLASS


CHECKS = [check for check in second_checks("torchvision", EXAMPLES) if chosen(check)]
#: It takes images of 224 pixels only, and a fifth of the time of all families.
SLOWEST = "maxvit_t"


@pytest.mark.families
@parametrize_checks(check for check in CHECKS if check.subject != SLOWEST)
def test_contract_of_every_family(check):
    check()


@pytest.mark.exhaustive
@parametrize_checks(check for check in CHECKS if check.subject == SLOWEST)
def test_contract_of_the_slowest_family(check):
    check()


def test_the_librarys_own_examples_are_tried(library):
    assert set(library.examples) <= FAMILIES.keys()


#: Without and with a pooling of its own.
FIRST = (SMALLEST, "mobilenet_v3_small")


@pytest.fixture(
    scope="module",
    params=mark_others(pytest.mark.families, FAMILIES, *FIRST),
)
def name(request):
    yield request.param
    gc.collect()


def seen_by(model, spot, images):
    """Run the whole model and return what goes into or comes out of one of its modules."""
    path, side = spot
    seen = []
    handle = model.get_submodule(path).register_forward_hook(
        # Clones, as many later modules work in place.
        lambda module, inputs, output: seen.append(
            (inputs[0] if side == "input" else output).clone()
        )
    )
    with torch.no_grad():
        model(images)
    handle.remove()
    return seen[0]


@pytest.mark.families
def test_features_are_those_that_the_model_itself_classifies(name, create):
    family = FAMILIES[name]
    wrapper = create(name, **family.model_args).eval()
    images = torch.randn(2, 3, family.size, family.size)
    with torch.no_grad():
        found = wrapper.forward_features(images)
        pooled = wrapper.forward_pool(found)["pooled_features"]
    assert wrapper.feature_dim() == family.dim
    assert ("cls_token" in found) == name.startswith("vit")
    if family.features is not None:
        own = seen_by(wrapper.model, family.features, images)
        # DenseNet applies its last activation outside of `features`.
        own = own.relu() if name.startswith("densenet") else own
        torch.testing.assert_close(found["features"], own)
    if family.pooled is None:
        own = found["features"].mean(dim=(2, 3))
    else:
        own = seen_by(wrapper.model, family.pooled, images)
    torch.testing.assert_close(pooled, own.reshape(2, family.dim, 1, 1), rtol=1e-4, atol=1e-5)
    # Each tensor is there once, though the recorded forward passes use them too.
    assert list(wrapper.state_dict()) == [f"model.{key}" for key in wrapper.model.state_dict()]
    assert len(list(wrapper.parameters())) == len(list(wrapper.model.parameters()))
    assert type(wrapper.get_model()).__module__.startswith("torchvision.")
    assert isinstance(wrapper.get_model(), nn.Module)


def test_strides_of_images_that_are_not_square(create):
    result = probe(create("squeezenet1_1"), 3, (64, 96))
    assert result.feature_size == (3, 5)
    assert not result.has_cls_token


@pytest.mark.families
def test_the_normalisation_has_a_number_for_each_channel(create):
    mean, std = create("squeezenet1_1", channels=4).input_normalization()
    assert mean == (0.485, 0.456, 0.406, 0.485)
    assert std == (0.229, 0.224, 0.225, 0.229)
