import copy
import logging
import pickle

import pytest
import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_core.testing.models import TinyTokens
from lightly_distillation.teacher import Teacher

DEFAULT = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def images(batch):
    return batch.views[0]


def make(wrapper, context, **options):
    return Teacher(wrapper, context, **{"precision": "fp32", **options})


def test_pooled_features_are_those_of_the_wrapper_at_length_one(conv_teacher, make_context, images):
    teacher = make(copy.deepcopy(conv_teacher), make_context())
    expected = nn.functional.normalize(conv_teacher.eval()(images), dim=1)
    torch.testing.assert_close(teacher.pooled(images), expected)


def test_blocks_of_tokens_lie_next_to_each_other_in_the_map(token_teacher, make_context, images):
    teacher = make(copy.deepcopy(token_teacher), make_context())
    assert (teacher.dim, teacher.grid, teacher.map_shape(2)) == (24, (4, 4), (48, 4, 4))
    found = teacher.feature_map(images, 2)
    blocks = token_teacher.eval().forward_intermediates(images, 2)
    for row in range(4):
        for column in range(4):
            expected = torch.cat([b["patch_tokens"][:, 4 * row + column] for b in blocks], dim=1)
            torch.testing.assert_close(found[:, :, row, column], expected)


def test_the_map_of_one_block_is_the_feature_map(token_teacher, make_context, images):
    teacher = make(copy.deepcopy(token_teacher), make_context())
    expected = token_teacher.eval().forward_features(images)["features"]
    torch.testing.assert_close(teacher.feature_map(images, 1), expected)
    pooled, found = teacher.pooled_and_map(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(pooled, teacher.pooled(images))


class TwoMaps(nn.Module):
    """Maps of strides 4 and 8 that are average colours."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward_features(self, x):
        return {"features": self.forward_multi_scale(x)[-1]}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def feature_dim(self):
        return 3

    def get_model(self):
        return self

    def multi_scale_dims(self):
        return 1, 3

    def forward_multi_scale(self, x):
        x = self.scale * x
        return [nn.functional.avg_pool2d(x[:, :1], 4), nn.functional.avg_pool2d(x, 8)]


def test_maps_of_several_strides_are_brought_to_the_last_grid(make_context, images):
    teacher = make(TwoMaps(), make_context())
    assert teacher.map_shape(2) == (4, 4, 4)
    found = teacher.feature_map(images, 2)
    # Bilinear at half the size takes the mean of four, which here is that of the larger patch.
    torch.testing.assert_close(found[:, 0], found[:, 1])
    torch.testing.assert_close(found[:, 1:], nn.functional.avg_pool2d(images, 8))


def test_a_teacher_with_one_map_says_so_and_gives_it(conv_teacher, make_context, images, caplog):
    teacher = make(conv_teacher, make_context())
    with caplog.at_level(logging.INFO):
        assert teacher.map_shape(2)[0] == 24
    assert "has one feature map" in caplog.text
    assert teacher.feature_map(images, 2).shape == (8, 24, 4, 4)


def test_more_blocks_than_there_are_is_an_error(token_teacher, make_context):
    with pytest.raises(ConfigError, match=r"n_teacher_blocks: teacher .* has no 4 blocks"):
        make(token_teacher, make_context()).map_shape(4)


def test_a_single_position_is_an_error_with_ways_out(conv_teacher, make_context):
    teacher = make(conv_teacher, make_context(image_size=(8, 8)))
    with pytest.raises(ConfigError, match="8 x 8 pixels") as caught:
        teacher.map_shape(1)
    for way_out in ("another teacher", "transform_args.image_size", "method=distillationv1"):
        assert way_out in str(caught.value)


# ------------------------------------------------------------------------------- frozen


def test_it_is_frozen_and_in_evaluation_mode(conv_teacher, make_context, images):
    conv_teacher.train()
    before = copy.deepcopy(conv_teacher.state_dict())
    teacher = make(conv_teacher, make_context())
    assert not any(p.requires_grad for p in conv_teacher.parameters())
    first = teacher.pooled(images)
    assert not first.requires_grad
    assert torch.equal(first, teacher.pooled(images))
    for name, tensor in conv_teacher.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 100])
def test_chunks_change_nothing(conv_teacher, make_context, images, chunk_size):
    sizes = []
    whole = make(copy.deepcopy(conv_teacher), make_context()).feature_map(images, 1)
    teacher = make(conv_teacher, make_context(), chunk_size=chunk_size)
    conv_teacher.get_model().register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    torch.testing.assert_close(teacher.feature_map(images, 1), whole)
    assert max(sizes) == min(chunk_size, 8)
    assert sum(sizes) == 8


def test_lower_precision_stays_close_and_comes_out_in_single(token_teacher, make_context, images):
    exact = make(copy.deepcopy(token_teacher), make_context()).pooled(images)
    rounded = make(token_teacher, make_context(), precision="bf16").pooled(images)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert nn.functional.cosine_similarity(rounded, exact).min() > 0.999


def test_the_runs_autocast_does_not_reach_the_teacher(token_teacher, make_context, images):
    teacher = make(token_teacher, make_context())
    expected = teacher.pooled(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(teacher.pooled(images), expected)


def test_compiling_is_asked_for_once_and_survives_a_copy(
    conv_teacher, make_context, images, monkeypatch
):
    compiled = []

    def compile_(function):
        compiled.append(function)
        return lambda x: function(x)

    monkeypatch.setattr(torch, "compile", compile_)
    teacher = make(conv_teacher, make_context(), compiled=True)
    first = teacher.pooled(images)
    teacher.pooled(images)
    assert len(compiled) == 1
    again = pickle.loads(pickle.dumps(teacher))
    assert torch.equal(again.pooled(images), first)
    assert len(compiled) == 2


def test_it_follows_its_images_to_their_device(conv_teacher, make_context, images):
    teacher = make(conv_teacher, make_context())
    assert teacher.pooled(images.to("meta")).device.type == "meta"
    assert next(conv_teacher.parameters()).device.type == "meta"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_give_the_same_features(token_teacher, make_context, images, duplicate):
    teacher = make(token_teacher, make_context())
    again = duplicate(teacher)
    assert torch.equal(again.pooled(images), teacher.pooled(images))
    assert again.wrapper is not teacher.wrapper


def test_half_precision_images_reach_a_teacher_in_single(conv_teacher, make_context, images):
    teacher = make(conv_teacher, make_context())
    half = images.bfloat16()
    torch.testing.assert_close(teacher.pooled(half), teacher.pooled(half.float()))


# ----------------------------------------------------------------------- normalisation


def normalized(pixels, mean, std):
    mean, std = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return (pixels - mean) / std


@pytest.mark.parametrize("given", ["by the wrapper", "by the user"])
def test_images_are_brought_to_the_teachers_normalization(fixed_teacher, make_context, given):
    pixels = torch.rand(8, 3, 32, 32)
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    wrong = ((9.0,) * 3, (9.0,) * 3)
    by_wrapper = given == "by the wrapper"
    wrapper = fixed_teacher(*((mean, std) if by_wrapper else wrong))
    teacher = make(wrapper, make_context(), normalization=None if by_wrapper else (mean, std))
    found = teacher.feature_map(normalized(pixels, *DEFAULT), 1)
    torch.testing.assert_close(found, normalized(pixels, mean, std), rtol=1e-4, atol=1e-5)


def test_the_same_normalization_leaves_the_images_as_they_are(fixed_teacher, make_context, images):
    teacher = make(fixed_teacher(*DEFAULT), make_context())
    assert torch.equal(teacher.feature_map(images, 1), images)


def test_the_runs_normalization_counts(fixed_teacher, make_context):
    pixels = torch.rand(8, 3, 32, 32)
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    teacher = make(fixed_teacher(*DEFAULT), make_context(mean=mean, std=std))
    found = teacher.feature_map(normalized(pixels, mean, std), 1)
    torch.testing.assert_close(found, normalized(pixels, *DEFAULT), rtol=1e-4, atol=1e-5)


def test_unknown_normalization_is_that_of_the_images(conv_teacher, make_context, images):
    first = make(copy.deepcopy(conv_teacher), make_context()).pooled(images)
    context = make_context(mean=(0.1, 0.2, 0.3), std=(0.9, 0.9, 0.9))
    assert torch.equal(make(conv_teacher, context).pooled(images), first)


def test_channels_that_the_teacher_does_not_take_are_an_error(make_context):
    with pytest.raises(ConfigError, match="images of 4 channels"):
        make(TinyTokens(), make_context(input_channels=4))
