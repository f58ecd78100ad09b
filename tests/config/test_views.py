"""What the settings of views come to, view by view."""

import pytest
from attrs import evolve

from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    RandomResizeArgs,
    SolarizeArgs,
)
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.config.reading.structure import structure

JITTER = ColorJitterArgs(strength=0.25)
CROP = RandomResizeArgs(min_scale=0.5)


def test_the_second_view_differs_in_what_is_named_only():
    args = MultiCropTransformArgs(global_view_1=GlobalView1Args(solarize=SolarizeArgs()))
    first, second = args.view_specs()
    assert second == evolve(first, gaussian_blur=None, solarize=SolarizeArgs())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("color_jitter", JITTER), ("color_jitter", None)),
        *(("random_resize", CROP), ("random_resize", None)),
        *(("random_gray_scale", 0.9), ("random_gray_scale", None), ("random_gray_scale", 0.0)),
    ],
)
def test_even_views_take_what_the_second_has(name, value):
    blur = GaussianBlurArgs(prob=0.25)
    other = GlobalView1Args(gaussian_blur=blur, **{name: value})
    local = LocalViewArgs(num_views=1)
    args = MultiCropTransformArgs(
        num_views=4, gaussian_blur=blur, global_view_1=other, local_view=local
    )
    first, second, third, fourth, small = args.view_specs()
    assert first == third
    assert second == fourth == evolve(first, **{name: value})
    assert small.color_jitter == first.color_jitter


@pytest.mark.parametrize("off", ["none", "false"])
def test_the_command_line_switches_colour_off_in_the_second_view(off):
    given = parse_pairs(
        [f"global_view_1.color_jitter={off}", "global_view_1.random_gray_scale=none"]
    )
    args = structure(given, MultiCropTransformArgs, path="transform_args")
    first, second = args.view_specs()
    assert first.color_jitter is not None
    assert (second.color_jitter, second.random_gray_scale) == (None, None)
    assert second.random_resize == first.random_resize
