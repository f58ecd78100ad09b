"""Options of each augmentation: the groups in `transform_args`."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Attribute, define, field
from attrs.validators import and_, ge, gt, le

from lightly_core.config.options.checks import (
    finite,
    finite_numbers,
    increasing_pair,
    probability,
    sizes,
    unit_deviations,
    unit_means,
)

#: Most global views, and most local views, of an image. More would not fit into memory.
MOST_VIEWS = 1000
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@define(frozen=True, kw_only=True)
class RandomResizeArgs:
    """Crop a random part of the image and scale it to the view's size."""

    min_scale: float = field(
        default=0.08,
        validator=and_(gt(0), finite),
        metadata={"help": "smallest area of a crop, as a fraction of the image"},
    )
    max_scale: float = field(
        default=1.0,
        validator=and_(gt(0), finite),
        metadata={"help": "largest area of a crop, as a fraction of the image"},
    )
    min_ratio: float = field(
        default=3 / 4,
        validator=and_(gt(0), finite),
        metadata={"help": "smallest width/height of a crop"},
    )
    max_ratio: float = field(
        default=4 / 3,
        validator=and_(gt(0), finite),
        metadata={"help": "largest width/height of a crop"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse ranges whose minimum is above the maximum."""
        if self.min_scale > self.max_scale or self.max_scale > 1:
            raise ValueError(
                "expected min_scale <= max_scale <= 1, got "
                f"min_scale={self.min_scale}, max_scale={self.max_scale}"
            )
        if self.min_ratio > self.max_ratio:
            raise ValueError(
                f"expected min_ratio <= max_ratio, got {self.min_ratio} and {self.max_ratio}"
            )


@define(frozen=True, kw_only=True)
class RandomFlipArgs:
    """Mirror the image."""

    horizontal_prob: float = field(
        default=0.5, validator=probability, metadata={"help": "probability of a left-right flip"}
    )
    vertical_prob: float = field(
        default=0.0, validator=probability, metadata={"help": "probability of an up-down flip"}
    )


@define(frozen=True, kw_only=True)
class RandomRotationArgs:
    """Rotate the image. Pixels from outside of it are filled by reflection."""

    prob: float = field(
        default=1.0, validator=probability, metadata={"help": "probability of a rotation"}
    )
    degrees: float = field(
        default=90.0,
        validator=and_(ge(0), finite),
        metadata={"help": "the angle is uniform in [-degrees, degrees]"},
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] = field(
        default="bilinear", metadata={"help": "interpolation of the rotation"}
    )


@define(frozen=True, kw_only=True)
class ColorJitterArgs:
    """Change brightness, contrast, saturation and hue, in random order (as torchvision does)."""

    prob: float = field(
        default=0.8, validator=probability, metadata={"help": "probability of any jitter"}
    )
    strength: float = field(
        default=1.0,
        validator=and_(ge(0), finite),
        metadata={"help": "factor on brightness, contrast, saturation and hue"},
    )
    brightness: float = field(
        default=0.8,
        validator=and_(ge(0), finite),
        metadata={"help": "factor uniform in [max(0, 1 - b), 1 + b], b = strength * brightness"},
    )
    contrast: float = field(
        default=0.8, validator=and_(ge(0), finite), metadata={"help": "as brightness"}
    )
    saturation: float = field(
        default=0.8, validator=and_(ge(0), finite), metadata={"help": "as brightness"}
    )
    hue: float = field(
        default=0.2,
        validator=and_(ge(0), finite),
        metadata={"help": "shift uniform in [-h, h] of the colour circle, h = strength * hue"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a hue shift of more than half the circle."""
        if self.strength * self.hue > 0.5:
            raise ValueError(f"expected strength * hue <= 0.5, got {self.strength} * {self.hue}")


@define(frozen=True, kw_only=True)
class GaussianBlurArgs:
    """Blur with a random standard deviation."""

    prob: float = field(
        default=0.5, validator=probability, metadata={"help": "probability of blurring"}
    )
    sigmas: tuple[float, float] = field(
        default=(0.1, 2.0),
        validator=increasing_pair,
        metadata={"help": "standard deviation, in pixels, uniform between the two"},
    )
    blur_limit: int | tuple[int, int] = field(
        default=0,
        metadata={
            "help": "odd kernel size in pixels, or (smallest, largest) to sample one; "
            "0: derived from sigma"
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse ranges without an odd kernel size."""
        if not self.kernel_sizes:
            raise ValueError(
                "expected 'blur_limit' to be 0, an odd number of pixels, or two numbers "
                f"0 <= first <= second with an odd one between them, got {self.blur_limit}"
            )

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Kernel sizes to sample from, in pixels; 0 is the size derived from sigma."""
        if self.blur_limit in (0, (0, 0)):
            return (0,)
        low, high = pair(self.blur_limit)
        if low < 0:
            return ()
        # A lower limit of 0 means any size that blurs, so not a kernel of one pixel.
        return tuple(size for size in range(low or 3, high + 1) if size % 2)

    @blur_limit.validator
    def _kernel_not_negative(self, attribute: object, value: int | tuple[int, int]) -> None:
        if min(value if isinstance(value, tuple) else (value,)) < 0:
            raise ValueError(f"'blur_limit' must be >= 0, got {value}")


@define(frozen=True, kw_only=True)
class SolarizeArgs:
    """Invert the bright pixels."""

    prob: float = field(
        default=0.2, validator=probability, metadata={"help": "probability of solarising"}
    )
    threshold: float = field(
        default=0.5,
        validator=probability,
        metadata={"help": "pixels at or above it are inverted, in [0, 1]"},
    )


@define(frozen=True, kw_only=True)
class NormalizeArgs:
    """Subtract a mean and divide by a standard deviation. Both are repeated for more channels."""

    mean: tuple[float, ...] = field(
        default=IMAGENET_MEAN,
        validator=unit_means,
        metadata={"help": "mean of each channel, values in [0, 1]"},
    )
    std: tuple[float, ...] = field(
        default=IMAGENET_STD,
        validator=unit_deviations,
        metadata={"help": "standard deviation of each channel, values in [0, 1]"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse different numbers of means and standard deviations."""
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"expected as many means as stds, got {len(self.mean)} and {len(self.std)}"
            )


@define(frozen=True, kw_only=True)
class ChannelDropArgs:
    """Keep a random subset of the input channels, the same for all views of an image."""

    num_channels_keep: int = field(validator=ge(1), metadata={"help": "how many channels remain"})
    weight_drop: tuple[float, ...] = field(
        validator=finite_numbers,
        metadata={"help": "weight of dropping each input channel; 0 always keeps it"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse negative weights, and more channels to keep than there are."""
        if min(self.weight_drop, default=0.0) < 0:
            raise ValueError(f"every weight_drop must be >= 0, got {self.weight_drop}")
        always = sum(weight == 0 for weight in self.weight_drop)
        if not always <= self.num_channels_keep <= len(self.weight_drop):
            raise ValueError(
                f"expected num_channels_keep between {always} (weights that are 0) and "
                f"{len(self.weight_drop)} (channels), got {self.num_channels_keep}"
            )


@define(frozen=True, kw_only=True)
class GlobalView1Args:
    """Augmentations that differ in the second global view. None switches one off there.

    ``"same"`` takes the options of the first view.
    """

    random_resize: RandomResizeArgs | Literal["same"] | None = field(
        default="same",
        metadata={"help": "random crop of the second view; same: as in the first"},
    )
    color_jitter: ColorJitterArgs | Literal["same"] | None = field(
        default="same",
        metadata={"help": "colour changes of the second view; same: as in the first"},
    )
    random_gray_scale: float | Literal["same"] | None = field(
        default="same",
        metadata={
            "help": "probability of removing the colour of the second view; same: as in the first"
        },
    )
    gaussian_blur: GaussianBlurArgs | None = field(
        default=None, metadata={"help": "blur of the second view"}
    )
    solarize: SolarizeArgs | None = field(
        default=None, metadata={"help": "solarisation of the second view"}
    )

    @random_gray_scale.validator
    def _probability_or_same(self, attribute: Attribute[Any], value: float | str | None) -> None:
        if not isinstance(value, str):
            probability(self, attribute, value)


@define(frozen=True, kw_only=True)
class LocalViewArgs:
    """Local views: smaller crops, in addition to the global views."""

    num_views: int = field(
        default=6,
        validator=and_(ge(1), le(MOST_VIEWS)),
        metadata={"help": "local views per image"},
    )
    view_size: int | tuple[int, int] = field(
        default=96,
        validator=sizes,
        metadata={
            "help": "size in pixels, or (height, width); the default is smaller beside global "
            "views that are smaller than the method's own"
        },
    )
    random_resize: RandomResizeArgs | None = field(
        default=RandomResizeArgs(min_scale=0.05, max_scale=0.14),
        metadata={"help": "as in the global views"},
    )
    gaussian_blur: GaussianBlurArgs | None = field(
        default=GaussianBlurArgs(prob=0.5), metadata={"help": "as in the global views"}
    )


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    return (size, size) if isinstance(size, int) else size
