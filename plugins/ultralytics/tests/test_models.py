"""One model of every generation and task, against the model's own forward pass."""

import copy
import gc

import pytest
import torch
import torch.nn.functional as F
from circles import mark_others
from torch import nn

from lightly_core.contracts.capabilities import MultiScaleFeatures
from lightly_core.errors import ConfigError
from lightly_core.models.probing import probe
from lightly_ultralytics.wrapper import wrap_ultralytics

#: Width of the backbone's last map, and of the maps that the head gets.
DETECTORS = {
    "yolov5n.yaml": (256, (64, 128, 256)),
    "yolov6n.yaml": (256, (32, 64, 128)),
    "yolov8n.yaml": (256, (64, 128, 256)),
    "yolov9t.yaml": (128, (64, 96, 128)),
    "yolov10n.yaml": (256, (64, 128, 256)),
    "yolo11n.yaml": (256, (64, 128, 256)),
    "yolo12n.yaml": (256, (64, 128, 256)),
    "yolo26n.yaml": (256, (64, 128, 256)),
    "yolov3-tiny.yaml": (512, (256, 512)),
    "yolov8n-seg.yaml": (256, (64, 128, 256)),
    "yolo26n-pose.yaml": (256, (64, 128, 256)),
    "yolo11n-obb.yaml": (256, (64, 128, 256)),
    "yolo26n-sem.yaml": (256, (64, 128)),
    "rtdetr-l.yaml": (2048, (256, 256, 256)),
    "yolov9e.yaml": (512, (256, 512, 512)),
}
CLASSIFIERS = {"yolov8n-cls.yaml": 256, "yolo11n-cls.yaml": 256, "yolov8n-cls-resnet50.yaml": 2048}
#: Tried in the first circle; all others are families.
FIRST = ("yolov8n.yaml", "yolo11n-cls.yaml")
WIDTHS = {**{name: width for name, (width, _) in DETECTORS.items()}, **CLASSIFIERS}


def parameters(names):
    return mark_others(pytest.mark.families, names, *FIRST)


@pytest.fixture(scope="module", autouse=True)
def free_memory():
    yield
    gc.collect()


@pytest.fixture(scope="module", params=parameters(WIDTHS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def shared(name, create):
    """A wrapper that the tests of this module leave as it is."""
    torch.manual_seed(0)
    return create(name).eval()


@pytest.fixture(scope="module", params=parameters(DETECTORS))
def neck_name(request):
    return request.param


@pytest.fixture(scope="module")
def shared_neck(neck_name, create):
    torch.manual_seed(0)
    return create(neck_name, train_neck=True).eval()


def size_for(name):
    """Height and width of images that the whole model takes."""
    # In ultralytics 8.4.0 the head of RT-DETR needs 300 positions, which become its queries.
    return (128, 160) if "rtdetr" in name else (64, 96)


def own_forward(model, images):
    """Run the whole model; return its backbone's last map and what its head gets."""
    layers = model.model
    seen = {}
    backbone, head = layers[len(model.yaml["backbone"]) - 1], layers[-1]
    handles = [
        backbone.register_forward_hook(lambda *call: seen.update(backbone=call[2].clone())),
        head.register_forward_pre_hook(lambda *call: seen.update(head=copy.copy(call[1][0]))),
    ]
    model.eval()
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return seen["backbone"], seen["head"]


def gradients(wrapper):
    """Return for each layer whether all, some or none of its parameters got a gradient."""
    wrapper.train()
    found = wrapper.forward_features(torch.randn(2, 3, 64, 64))
    pooled = wrapper.forward_pool(found)["pooled_features"]
    (found["features"] * torch.randn_like(found["features"])).sum().add(pooled.sum()).backward()
    layers = wrapper.get_model().model
    return [{p.grad is not None for p in layer.parameters()} for layer in layers]


# ----------------------------------------------------------------------------- the backbone


def test_features_are_the_backbones_last_map(name, shared):
    images = torch.randn(2, 3, *size_for(name))
    expected, _ = own_forward(shared.get_model(), images)
    with torch.no_grad():
        found = shared.forward_features(images)
    torch.testing.assert_close(found["features"], expected)
    pooled = shared.forward_pool(found)["pooled_features"]
    torch.testing.assert_close(pooled, expected.flatten(2).mean(2)[:, :, None, None])


def test_width_and_stride(name, shared):
    for size in (64, (96, 160)):
        result = probe(shared, 3, size)
        assert result.feature_dim == WIDTHS[name]
        assert result.stride == (32, 32)
        assert not result.has_cls_token


def test_the_whole_backbone_learns_and_nothing_else(shared):
    wrapper = copy.deepcopy(shared)
    model = wrapper.get_model()
    end = len(model.yaml["backbone"])
    reached = gradients(wrapper)
    assert all(False not in layer for layer in reached[:end])
    assert all(True not in layer for layer in reached[end:])
    assert True in reached[0] | reached[1]


def test_other_sizes_are_filled_up_with_the_mean_colour(shared):
    images = torch.randn(1, 3, 70, 33)
    padded = F.pad(images, (0, 31, 0, 26))
    with torch.no_grad():
        found = shared.forward_features(images)["features"]
        expected = shared.forward_features(padded)["features"]
    assert found.shape[2:] == (3, 2)
    assert torch.equal(found, expected)


def test_classifiers_have_one_map(create):
    wrapper = create("yolo11n-cls.yaml")
    assert not isinstance(wrapper, MultiScaleFeatures)


def test_the_maps_for_the_neck(create):
    wrapper = create("yolov8n.yaml").eval()
    assert isinstance(wrapper, MultiScaleFeatures)
    assert wrapper.multi_scale_dims() == (64, 128, 256)
    images = torch.randn(1, 3, 64, 64)
    expected, x = [], images
    with torch.no_grad():
        maps = wrapper.forward_multi_scale(images)
        for layer in list(wrapper.get_model().model)[:10]:  # YOLOv8's backbone is a plain chain.
            x = layer(x)
            expected.append(x)
    for found, index in zip(maps, (4, 6, 9), strict=True):
        assert torch.equal(found, expected[index])


@pytest.mark.families
def test_a_large_stride_is_allowed(create):
    wrapper = create("yolov8n-p6.yaml")
    assert probe(wrapper, 3, 128).feature_size == (2, 2)
    assert probe(wrapper, 3, 96).feature_size == (2, 2)


def test_the_head_is_not_run(create):
    wrapper = create("yolov8n.yaml")
    called = []
    for layer in wrapper.get_model().model:
        layer.register_forward_hook(lambda module, *_: called.append(module.i))
    wrapper.forward_features(torch.randn(2, 3, 64, 64))
    assert called == list(range(10))


# --------------------------------------------------------------------------------- the neck


@pytest.mark.families
def test_neck_features_are_what_the_head_gets(neck_name, shared_neck):
    images = torch.randn(2, 3, *size_for(neck_name))
    _, expected = own_forward(shared_neck.get_model(), images)
    expected = sorted(expected, key=lambda value: -value.shape[2])
    with torch.no_grad():
        maps = shared_neck.forward_multi_scale(images)
        features = shared_neck.forward_features(images)["features"]
    for found, own in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, own)
    assert shared_neck.multi_scale_dims() == DETECTORS[neck_name][1]
    assert shared_neck.feature_dim() == sum(DETECTORS[neck_name][1])
    coarsest = expected[-1].shape[2]
    pooled = [F.avg_pool2d(value, value.shape[2] // coarsest) for value in expected]
    torch.testing.assert_close(features, torch.cat(pooled, dim=1))


def test_neck_takes_other_sizes(shared_neck):
    with torch.no_grad():
        found = shared_neck.forward_features(torch.randn(1, 3, 70, 33))["features"]
    side = 64 // shared_neck.forward_features(torch.zeros(1, 3, 64, 64))["features"].shape[2]
    assert found.shape[2:] == (96 // side, 64 // side)


def test_backbone_and_neck_learn_and_the_head_does_not(shared_neck):
    reached = gradients(copy.deepcopy(shared_neck))
    assert True not in reached[-1]
    assert all(False not in layer for layer in reached[:-1])


def test_a_classifier_has_no_neck(create):
    with pytest.raises(ConfigError, match=r"no neck, its head \(Classify\)(?s:.*)omit train_neck"):
        create("yolo11n-cls.yaml", train_neck=True)


# ------------------------------------------------------------------------------ looking at it


@pytest.mark.families
@pytest.mark.parametrize("graph", parameters(("yolov8n.yaml", "yolo26n.yaml", "yolo11n-cls.yaml")))
def test_without_a_description_the_graph_tells_the_backbone(create, graph):
    model = create(graph).get_model()
    described = wrap_ultralytics(model)._anatomy
    del model.yaml
    assert wrap_ultralytics(model)._anatomy == described


@pytest.mark.families
def test_looking_changes_nothing(create):
    model = create("yolov8n.yaml").get_model().train()
    model.model[3].eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    attributes = set(vars(model))
    wrapper = wrap_ultralytics(model, train_neck=True)
    assert wrapper.get_model() is model
    assert torch.equal(torch.get_rng_state(), random_state)
    assert set(vars(model)) == attributes
    assert model.training
    assert not model.model[3].training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_batch_norms_are_as_ultralytics_sets_them(create):
    norms = [m for m in create("yolo11n.yaml").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.03)}


@pytest.mark.families
def test_the_wrapper_follows_the_models_type(create):
    model = create("yolov8n.yaml").get_model().double()
    features = wrap_ultralytics(model).forward_features(torch.zeros(1, 3, 64, 64).double())
    assert features["features"].dtype == torch.float64
