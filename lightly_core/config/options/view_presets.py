"""Augmentations of papers that several methods use. No torch here.

Each function returns the options for the views of an image, which a method's config class sets as
`views`. Sizes are in pixels, scales are fractions of the image's area.
"""

from __future__ import annotations

from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    SolarizeArgs,
)
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs

_SIMCLR_JITTER = ColorJitterArgs(
    prob=0.8, strength=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
)
_BYOL_JITTER = ColorJitterArgs(
    prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
)
_MOCO_JITTER = ColorJitterArgs(
    prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
)
_FLIP = RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0)


def simclr_views(*, num_views: int = 2, min_scale: float = 0.08) -> TransformArgs:
    """Return equal views with strong colour jitter (SimCLR, https://arxiv.org/abs/2002.05709)."""
    return TransformArgs(
        num_views=num_views,
        random_resize=RandomResizeArgs(min_scale=min_scale, max_scale=1.0),
        random_flip=_FLIP,
        color_jitter=_SIMCLR_JITTER,
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        solarize=None,
    )


def swav_views() -> MultiCropTransformArgs:
    """Return two global and six local views with the colour jitter of SimCLR.

    They are those of SwAV (https://arxiv.org/abs/2006.09882) and DeepCluster-v2.
    """
    global_views = simclr_views(min_scale=0.14)
    return MultiCropTransformArgs(
        num_views=2,
        random_resize=global_views.random_resize,
        random_flip=global_views.random_flip,
        color_jitter=global_views.color_jitter,
        random_gray_scale=global_views.random_gray_scale,
        gaussian_blur=global_views.gaussian_blur,
        solarize=None,
        local_view=LocalViewArgs(),
    )


def moco_views(*, num_views: int = 2) -> TransformArgs:
    """Return equal views with half the colour jitter (MoCo v2, https://arxiv.org/abs/2003.04297).

    SimSiam and DenseCL use them too.
    """
    return TransformArgs(
        num_views=num_views,
        random_resize=RandomResizeArgs(min_scale=0.2, max_scale=1.0),
        random_flip=_FLIP,
        color_jitter=_MOCO_JITTER,
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        solarize=None,
    )


def byol_views(
    *,
    min_scale: float = 0.08,
    local: LocalViewArgs | None = None,
) -> MultiCropTransformArgs:
    """Return two different views: the first is always blurred, the second sometimes solarised.

    They are those of BYOL (https://arxiv.org/abs/2006.07733, table 6), which many methods use.

    Args:
        min_scale: Smallest area of a crop, as a fraction of the image.
        local: Local views, in addition to the two global views.
    """
    return MultiCropTransformArgs(
        num_views=2,
        random_resize=RandomResizeArgs(min_scale=min_scale, max_scale=1.0),
        random_flip=_FLIP,
        color_jitter=_BYOL_JITTER,
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=1.0, sigmas=(0.1, 2.0)),
        solarize=None,
        global_view_1=GlobalView1Args(
            gaussian_blur=GaussianBlurArgs(prob=0.1, sigmas=(0.1, 2.0)),
            solarize=SolarizeArgs(prob=0.2, threshold=0.5),
        ),
        local_view=local,
    )
