"""Options of the augmentation (`transform_args`) and the plain description built from them."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve, field
from attrs.validators import and_, ge, gt

from lightly_core.config.checks import (
    finite,
    finite_numbers,
    increasing_pair,
    probability,
    sizes,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@define(frozen=True, kw_only=True)
class RandomResizeArgs:
    """Crop a random part of the image and scale it to the view's size."""

    min_scale: float = field(
        default=0.08,
        validator=and_(gt(0), finite),
        metadata={"help": "smallest area of a crop, as a share of the image"},
    )
    max_scale: float = field(
        default=1.0,
        validator=and_(gt(0), finite),
        metadata={"help": "largest area of a crop, as a share of the image"},
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
        """Refuse ranges that are turned around."""
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
        default=0.5, validator=probability, metadata={"help": "probability of left-right"}
    )
    vertical_prob: float = field(
        default=0.0, validator=probability, metadata={"help": "probability of upside-down"}
    )


@define(frozen=True, kw_only=True)
class RandomRotationArgs:
    """Turn the image; what comes in from outside is a reflection."""

    prob: float = field(
        default=1.0, validator=probability, metadata={"help": "probability of turning"}
    )
    degrees: float = field(
        default=90.0,
        validator=and_(ge(0), finite),
        metadata={"help": "the angle is uniform in [-degrees, degrees]"},
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] = field(
        default="bilinear", metadata={"help": "interpolation of the turn"}
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
        metadata={"help": "factor on the four half-widths"},
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
        metadata={"help": "turn uniform in [-h, h] of the colour circle, h = strength * hue"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a hue turn of more than half the circle."""
        if self.strength * self.hue > 0.5:
            raise ValueError(f"expected strength * hue <= 0.5, got {self.strength} * {self.hue}")


@define(frozen=True, kw_only=True)
class GaussianBlurArgs:
    """Blur with a random width."""

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
            "help": "odd kernel size in pixels, or (smallest, largest) to draw one; "
            "0 derives it from sigma"
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a kernel without a middle."""
        if not self.kernel_sizes:
            raise ValueError(
                "expected 'blur_limit' to be 0, an odd number of pixels, or two numbers "
                f"0 <= first <= second with an odd one between them, got {self.blur_limit}"
            )

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Kernel sizes to draw from, in pixels; 0 stands for the one that follows from sigma."""
        if self.blur_limit in (0, (0, 0)):
            return (0,)
        low, high = pair(self.blur_limit)
        if low < 0:
            return ()
        # From 0 on means any size that blurs, so not the kernel of one pixel.
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
        metadata={"help": "values at or above it are inverted; [0, 1]"},
    )


@define(frozen=True, kw_only=True)
class NormalizeArgs:
    """Mean and standard deviation that are taken out; repeated in turn for more channels."""

    mean: tuple[float, ...] = field(
        default=IMAGENET_MEAN,
        validator=finite_numbers,
        metadata={"help": "mean of each channel, values in [0, 1]"},
    )
    std: tuple[float, ...] = field(
        default=IMAGENET_STD,
        validator=finite_numbers,
        metadata={"help": "standard deviation of each channel"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse lengths that differ, and a standard deviation of zero."""
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                f"expected as many means as stds, got {len(self.mean)} and {len(self.std)}"
            )
        if not all(std > 0 for std in self.std):
            raise ValueError(f"every std must be > 0, got {self.std}")


@define(frozen=True, kw_only=True)
class ChannelDropArgs:
    """Keep a random choice of the input channels, the same for all views of an image."""

    num_channels_keep: int = field(validator=ge(1), metadata={"help": "how many channels remain"})
    weight_drop: tuple[float, ...] = field(
        validator=finite_numbers,
        metadata={"help": "weight of dropping each input channel; 0 always keeps it"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse negative weights, and to keep more channels than there are."""
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
    """What differs in the second global view; None switches the change off there."""

    gaussian_blur: GaussianBlurArgs | None = field(
        default=None, metadata={"help": "blur of the second view"}
    )
    solarize: SolarizeArgs | None = field(
        default=None, metadata={"help": "solarisation of the second view"}
    )


@define(frozen=True, kw_only=True)
class LocalViewArgs:
    """Small crops beside the global views."""

    num_views: int = field(default=6, validator=ge(1), metadata={"help": "crops per image"})
    view_size: int | tuple[int, int] = field(
        default=96,
        validator=sizes,
        metadata={"help": "size in pixels, or (height, width)"},
    )
    random_resize: RandomResizeArgs | None = field(
        default=RandomResizeArgs(min_scale=0.05, max_scale=0.14),
        metadata={"help": "as in the global views"},
    )
    gaussian_blur: GaussianBlurArgs | None = field(
        default=GaussianBlurArgs(prob=0.5), metadata={"help": "as in the global views"}
    )


@define(frozen=True)
class ViewSpec:
    """All that is done to make one view; sizes are (height, width) in pixels."""

    size: tuple[int, int]
    random_resize: RandomResizeArgs | None = None
    random_flip: RandomFlipArgs | None = None
    random_rotation: RandomRotationArgs | None = None
    color_jitter: ColorJitterArgs | None = None
    random_gray_scale: float | None = None
    gaussian_blur: GaussianBlurArgs | None = None
    solarize: SolarizeArgs | None = None


@define(frozen=True, kw_only=True)
class TransformArgs:
    """The views of an image. A group set to None is switched off."""

    image_size: int | tuple[int, int] = field(
        default=(224, 224),
        validator=sizes,
        metadata={"help": "size of a view in pixels, or (height, width)"},
    )
    num_views: int = field(default=1, validator=ge(1), metadata={"help": "global views per image"})
    channel_drop: ChannelDropArgs | None = field(
        default=None, metadata={"help": "drop random channels of multi-channel images"}
    )
    num_channels: int | Literal["auto"] = field(
        default="auto",
        metadata={"help": "channels of the network's input; auto: those that remain, or len(mean)"},
    )

    @num_channels.validator
    def _channels_positive(self, attribute: object, value: int | str) -> None:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"'num_channels' must be >= 1 or 'auto', got {value}")

    random_resize: RandomResizeArgs | None = field(
        default=RandomResizeArgs(), metadata={"help": "random crop; None: resize the whole image"}
    )
    random_flip: RandomFlipArgs | None = field(
        default=RandomFlipArgs(), metadata={"help": "mirroring"}
    )
    random_rotation: RandomRotationArgs | None = field(default=None, metadata={"help": "turning"})
    color_jitter: ColorJitterArgs | None = field(
        default=ColorJitterArgs(),
        metadata={"help": "colour changes; saturation and hue for RGB images only"},
    )
    random_gray_scale: float | None = field(
        default=0.2,
        validator=probability,
        metadata={"help": "probability of removing the colour; RGB images only"},
    )
    gaussian_blur: GaussianBlurArgs | None = field(
        default=GaussianBlurArgs(), metadata={"help": "blur"}
    )
    solarize: SolarizeArgs | None = field(default=None, metadata={"help": "solarisation"})
    normalize: NormalizeArgs = field(
        default=NormalizeArgs(), metadata={"help": "normalisation of the network's input"}
    )
    interpolation: Literal["bilinear", "bicubic"] = field(
        default="bicubic", metadata={"help": "interpolation of crops and resizing (antialiased)"}
    )

    def __attrs_post_init__(self) -> None:
        """Refuse two different numbers of channels."""
        drop = self.channel_drop
        if drop is not None and self.num_channels not in ("auto", drop.num_channels_keep):
            raise ValueError(
                f"num_channels is {self.num_channels}, but channel_drop keeps "
                f"{drop.num_channels_keep}; leave num_channels at 'auto'"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a global view in pixels."""
        return pair(self.image_size)

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        if self.num_channels != "auto":
            return int(self.num_channels)
        if self.channel_drop is not None:
            return self.channel_drop.num_channels_keep
        return len(self.normalize.mean)

    @property
    def source_channels(self) -> int:
        """Channels that images are read with, before any are dropped."""
        if self.channel_drop is not None:
            return len(self.channel_drop.weight_drop)
        return self.channels

    def view_specs(self) -> tuple[ViewSpec, ...]:
        """Return one full description a view."""
        view = ViewSpec(
            size=self.size,
            random_resize=self.random_resize,
            random_flip=self.random_flip,
            random_rotation=self.random_rotation,
            color_jitter=self.color_jitter,
            random_gray_scale=self.random_gray_scale,
            gaussian_blur=self.gaussian_blur,
            solarize=self.solarize,
        )
        return (view,) * self.num_views


@define(frozen=True, kw_only=True)
class MultiCropTransformArgs(TransformArgs):
    """Two unequal global views and, if wanted, small local ones."""

    num_views: int = field(default=2, validator=ge(2), metadata={"help": "global views per image"})
    global_view_1: GlobalView1Args | None = field(
        default=None, metadata={"help": "what differs in the second, fourth, ... global view"}
    )
    local_view: LocalViewArgs | None = field(
        default=None, metadata={"help": "small crops beside the global views"}
    )

    def view_specs(self) -> tuple[ViewSpec, ...]:
        """Return the global views first, then the local ones."""
        # Not super(): attrs makes a new class for slots, which the zero-argument form misses.
        views = list(TransformArgs.view_specs(self))
        other = self.global_view_1
        if other is not None:
            views[1::2] = [
                evolve(view, gaussian_blur=other.gaussian_blur, solarize=other.solarize)
                for view in views[1::2]
            ]
        if self.local_view is not None:
            local = evolve(
                views[0],
                size=pair(self.local_view.view_size),
                random_resize=self.local_view.random_resize,
                gaussian_blur=self.local_view.gaussian_blur,
            )
            views += [local] * self.local_view.num_views
        return tuple(views)


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    return (size, size) if isinstance(size, int) else size
