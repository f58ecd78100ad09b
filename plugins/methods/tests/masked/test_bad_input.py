"""What users may do wrong, with every method."""

import dataclasses

import pytest
import torch

from lightly_core.config.options.method import RunFacts
from lightly_core.config.reading.structure import structure
from lightly_core.contracts import RunContext
from lightly_core.errors import ConfigError, MissingCapabilityError
from lightly_core.methods.requirements import build_method
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_methods.masked.ijepa_config import IJEPAConfig
from lightly_methods.masked.mae_config import MAEConfig

ALL = ["mae", "simmim", "msn", "pmsn", "ijepa", "capi"]


@pytest.fixture
def build(make_case):
    def do(name, *, model=None, options=None, **changes):
        case = make_case(name, **(options or {}))
        config = structure(case.method_args, case.config_class, path="method_args")
        facts = RunFacts(
            dataset_size=80, effective_batch_size=8, total_steps=100, steps_per_epoch=10
        )
        context = RunContext(
            dataset_size=80,
            global_batch_size=8,
            total_steps=100,
            steps_per_epoch=10,
            num_views=case.config_class.default_transform().num_views,
            image_size=(32, 32),
        )
        context = dataclasses.replace(context, **changes)
        resolved = config.resolve(facts)
        return build_method(case.method_class, resolved, model or TinyTokens(), context)

    return do


@pytest.mark.parametrize("name", ALL)
def test_a_convolutional_network_is_refused_with_alternatives(build, name):
    with pytest.raises(MissingCapabilityError) as error:
        build(name, model=TinyConv())
    assert f"method '{name}' needs a model with patch tokens" in str(error.value)
    assert "timm/vit" in str(error.value)


@pytest.mark.parametrize("name", ALL)
def test_an_image_that_is_no_whole_number_of_patches_is_refused(build, name):
    with pytest.raises(ConfigError, match=r"patches of 8, .*image_size=32 x 48"):
        build(name, image_size=(32, 45))


@pytest.mark.parametrize("name", ["msn", "pmsn"])
def test_batch_norm_needs_two_images_a_process(build, name):
    few = {"global_batch_size": 4, "world_size": 4}
    with pytest.raises(ConfigError, match="at least 8 images in a batch with 4 processes, got 4"):
        build(name, options={"batch_norm": True}, **few)
    build(name, options={"batch_norm": False}, **few)


@pytest.mark.parametrize(
    ("name", "ratio", "hidden"),
    [("mae", 0.99, 16), ("simmim", 0.99, 16), ("capi", 0.99, 16), ("capi", 0.01, 0)],
)
def test_a_mask_that_hides_nothing_or_all_is_refused(build, name, ratio, hidden):
    with pytest.raises(ConfigError, match=f"16 patches, which hides {hidden} of them"):
        build(name, options={"mask_ratio": ratio})


@pytest.mark.parametrize("name", ["msn", "pmsn"])
def test_leaving_out_all_patches_is_refused(build, name):
    with pytest.raises(ConfigError, match="masks all 16 patches"):
        build(name, options={"mask_ratio": 0.99})
    build(name, options={"mask_ratio": 0.0})


def test_a_cell_that_is_no_whole_number_of_patches_is_refused(build):
    with pytest.raises(ConfigError, match=r"mask_cell=12 pixels.*mask_cell=16"):
        build("simmim", options={"mask_cell": 12})
    assert build("simmim", options={"mask_cell": 16}).masks.cell == 2


@pytest.mark.parametrize(
    ("patch_size", "image_size", "cell"), [(16, 224, 2), (14, 224, 2), (4, 32, 1), (8, 512, 9)]
)
def test_cells_are_a_seventh_of_the_image(build, patch_size, image_size, cell):
    model = TinyTokens(patch_size=patch_size)
    assert build("simmim", model=model, image_size=(image_size, image_size)).masks.cell == cell


def test_blocks_that_do_not_fit_are_refused(build):
    with pytest.raises(ConfigError, match=r"cannot place its blocks: .*target_ratio"):
        build("ijepa", options={"target_ratio": 0.3})


def test_a_predictor_that_cannot_be_split_is_refused(build):
    with pytest.raises(ConfigError, match="width 16 and heads of width 64"):
        build("capi", options={"predictor_dim": None, "predictor_head_dim": 64})


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (MAEConfig, {"decoder_dim": 30, "decoder_num_heads": 16}, "multiple of"),
        (MAEConfig, {"mask_ratio": 1.0}, "mask_ratio"),
        (IJEPAConfig, {"predictor_dim": 100}, "multiple of"),
    ],
)
def test_options_out_of_range_are_refused(config, options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("msn", {"teacher_momentum": 0.9, "student_temp": 0.2}, ("momentum_start", "temperature")),
        ("mae", {"norm_pix_loss": False}, ("normalize_pixels",)),
        ("simmim", {"mask_patch_size": 16}, ("mask_cell",)),
    ],
)
def test_other_names_of_options_work(make_case, name, given, meant):
    case = make_case(name)
    config = structure(given, case.config_class, path="method_args")
    assert tuple(getattr(config, field) for field in meant) == tuple(given.values())


@pytest.mark.parametrize("name", ALL)
def test_images_with_other_numbers_of_channels_work(build, make_case, name):
    model = TinyTokens(num_input_channels=4)
    method = build(name, model=model, input_channels=4)
    batch = make_case(name).batch()
    views = [torch.cat([view, view[:, :1]], dim=1) for view in batch.views]
    loss = method.training_step(dataclasses.replace(batch, views=views), 0).loss
    assert loss.isfinite()
