import hashlib
import logging

import pytest
import torch
from torch import nn

from lightly_core.config.options.augmentations import NormalizeArgs
from lightly_core.config.options.settings import PythonObject
from lightly_core.contracts import RunContext
from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.models.wrapping import get_wrapped_model
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_distillation import loading
from lightly_distillation.config import DistillationV1Config, DistillationV3Config
from lightly_distillation.loading import build_teacher, looks_untrained


@pytest.fixture
def build(make_context):
    def make(teacher, **options):
        if not isinstance(teacher, str):
            teacher = PythonObject(teacher)
        config = DistillationV1Config(teacher=teacher, teacher_precision="fp32", **options)
        return build_teacher(config, make_context())

    return make


@pytest.fixture
def images(batch):
    return batch.views[0]


NAME = "timm/test_resnet"


@pytest.fixture(scope="module")
def network():
    """A small network whose batch norms are not as they start."""
    import timm

    torch.manual_seed(1)
    model = timm.create_model("test_resnet").eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def file(network, tmp_path):
    file = tmp_path / "network.pth"
    torch.save(network.state_dict(), file)
    return file


def pooled(network, images):
    """What a teacher has to give: the network has a normalization of its own."""
    (mean, std), own = (
        [torch.tensor(values).view(3, 1, 1) for values in pair]
        for pair in (
            (RunContext.mean, RunContext.std),
            (network.default_cfg["mean"], network.default_cfg["std"]),
        )
    )
    images = (images * std + mean - own[0]) / own[1]
    with torch.no_grad():
        features = network.forward_head(network.forward_features(images), pre_logits=True)
    return nn.functional.normalize(features, dim=1)


# ------------------------------------------------------------------ kinds of teachers


def test_a_wrapper_is_copied(build, conv_teacher, images):
    teacher = build(conv_teacher)
    assert teacher.wrapper is not conv_teacher
    expected = nn.functional.normalize(conv_teacher.eval()(images), dim=1)
    torch.testing.assert_close(teacher.pooled(images), expected.detach())


def test_a_module_of_a_known_library_is_wrapped(build, network, images):
    torch.testing.assert_close(build(network).pooled(images), pooled(network, images))


def test_a_name_of_timm(build):
    teacher = build("timm/test_vit", teacher_args={"img_size": 32})
    assert teacher.map_shape(2)[0] == 2 * teacher.dim


def test_what_cannot_be_copied_is_an_error(build):
    class Stubborn(TinyConv):
        def __deepcopy__(self, memo):
            raise RuntimeError("no copies")

    with pytest.raises(ConfigError, match=r"method_args.teacher: .*cannot be copied.*no copies"):
        build(Stubborn())


# ---------------------------------------------------------------------------- weights


def test_weights_of_a_file_are_loaded_and_named_with_their_digest(
    build, network, file, images, caplog
):
    with caplog.at_level(logging.INFO):
        teacher = build(NAME, teacher_weights=str(file))
    torch.testing.assert_close(teacher.pooled(images), pooled(network, images))
    told = [r.getMessage() for r in caplog.records if "sha256" in r.getMessage()]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    assert told == [f"Teacher {NAME}: 92 of 92 tensors from {file}, sha256 {digest}"]


def test_a_url_is_fetched(build, network, file, images, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    teacher = build(NAME, teacher_url=file.as_uri())
    torch.testing.assert_close(teacher.pooled(images), pooled(network, images))


@pytest.mark.parametrize("change", ["another number of classes", "no classifier", "no counters"])
def test_the_classifier_need_not_fit(build, network, file, images, change):
    state = torch.load(file, weights_only=True)
    if change == "another number of classes":
        state |= {"fc.weight": torch.zeros(7, 96), "fc.bias": torch.zeros(7)}
    elif change == "no classifier":
        del state["fc.weight"], state["fc.bias"]
    else:
        state = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save(state, file)
    teacher = build(NAME, teacher_weights=str(file))
    torch.testing.assert_close(teacher.pooled(images), pooled(network, images))


def test_a_classifier_that_the_model_does_not_have_is_left_out(
    build, images, tmp_path, token_teacher
):
    file = tmp_path / "teacher.pt"
    state = token_teacher.get_model().state_dict() | {"head.weight": torch.zeros(5, 24)}
    torch.save(state, file)
    untrained = type(token_teacher)(feature_dim=24, depth=3)
    teacher = build(untrained, teacher_weights=str(file))
    torch.testing.assert_close(teacher.pooled(images), build(token_teacher).pooled(images))


def test_weights_with_a_hole_are_refused(build, file):
    state = torch.load(file, weights_only=True)
    del state["layer3.0.conv1.weight"]
    torch.save(state, file)
    with pytest.raises(ConfigError, match=r"not complete[\s\S]*layer3.0.conv1.weight"):
        build(NAME, teacher_weights=str(file))


def test_weights_of_a_deeper_model_are_refused(build, tmp_path):
    file = tmp_path / "teacher.pt"
    torch.save(TinyTokens(feature_dim=24, depth=4).get_model().state_dict(), file)
    with pytest.raises(ConfigError, match=r"not complete[\s\S]*blocks.3"):
        build(TinyTokens(feature_dim=24, depth=3), teacher_weights=str(file))


def test_weights_of_another_model_are_refused(build, file):
    with pytest.raises(ConfigError, match=r"network.pth"):
        build("timm/test_vit", teacher_weights=str(file))


def test_a_missing_file_is_an_error(build, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*nothing.pth"):
        build(NAME, teacher_weights=str(tmp_path / "nothing.pth"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "args"), [("dinov2/vits14-noreg", {"depth": 1}), ("dinov3/vits16", {"depth": 1})]
)
def test_libraries_that_download_get_the_file_instead(build, tmp_path, monkeypatch, name, args):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LIGHTLY_OFFLINE", "1")
    blank = get_wrapped_model(f"{name}-notpretrained", model_args=args)
    with torch.no_grad():
        next(p for n, p in blank.named_parameters() if n.endswith("norm.weight")).fill_(0.25)
    state = blank.get_model().state_dict()
    file = tmp_path / "teacher.pth"
    torch.save(state, file)
    teacher = build(name, teacher_url=file.as_uri() + "?secret", teacher_args=args)
    for key, value in teacher.wrapper.get_model().state_dict().items():
        assert torch.equal(value, state[key])


# --------------------------------------------------------------------------- bad input


def test_an_unknown_teacher_is_told_with_a_near_name(build):
    with pytest.raises(UnknownModelError, match=r"method_args.teacher: [\s\S]*resnet18"):
        build("torchvision/resnet81")


def test_an_unknown_teacher_is_told_before_anything_is_fetched(build, monkeypatch):
    monkeypatch.setattr(loading, "fetch", lambda *a, **k: pytest.fail("fetched"))
    with pytest.raises(UnknownModelError):
        build("torchvision/resnet81", teacher_url="http://localhost/none.pth")


def test_teacher_args_need_a_name(build, conv_teacher):
    with pytest.raises(ConfigError, match="teacher_args: depth given together with a ready"):
        build(conv_teacher, teacher_args={"depth": 3})


def test_weights_in_two_places_are_refused(build):
    with pytest.raises(ConfigError, match="'weights' is given together"):
        build(NAME, teacher_args={"weights": "x"}, teacher_weights="y")


def test_wrong_teacher_args_say_where_they_belong(build):
    with pytest.raises(ConfigError, match=r"method_args.teacher: [\s\S]*teacher_args"):
        build("timm/test_vit", teacher_args={"no_such_argument": 3})


def test_a_teacher_without_its_weights_says_what_to_give(make_context, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=r"method_args.teacher_url"):
        build_teacher(DistillationV3Config(), make_context())


# ---------------------------------------------------------------------- random weights


def test_random_weights_are_warned_about(build, caplog):
    build(NAME)
    assert "random weights teach nothing" in caplog.text


def test_trained_weights_are_not_warned_about(build, network, caplog):
    build(network)
    assert "random weights" not in caplog.text


def test_a_network_without_norms_counts_as_trained():
    assert not looks_untrained(nn.Conv2d(3, 4, 3))
    assert looks_untrained(nn.LayerNorm(4))


def test_the_teachers_own_normalization_is_passed_on(build, fixed_teacher, images):
    wrapper = fixed_teacher((0.5,) * 3, (0.5,) * 3)
    same = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    teacher = build(wrapper, teacher_normalize=NormalizeArgs(**same))
    assert torch.equal(teacher.feature_map(images, 1), images)
    assert not torch.equal(build(wrapper).feature_map(images, 1), images)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("auto", "as the weights"), ("fp32", "as the weights"), ("bf16", "bfloat16")],
)
def test_a_teachers_precision_is_the_one_asked_for(conv_teacher, make_context, asked, expected):
    config = DistillationV1Config(teacher=PythonObject(conv_teacher), teacher_precision=asked)
    assert build_teacher(config, make_context()).facts()["precision"] == expected
