"""Options of the augmentation (`transform_args`), and the description of each view from them."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve, field, fields
from attrs.validators import and_, ge, le

from lightly_core.config.options.augmentations import (
    MOST_VIEWS,
    ChannelDropArgs,
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    NormalizeArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    RandomRotationArgs,
    SolarizeArgs,
    pair,
)
from lightly_core.config.options.checks import probability, sizes, value_range

#: Value of `name` for the built-in augmentation.
DEFAULT_TRANSFORM = "default"


@define(frozen=True)
class ViewSpec:
    """All augmentations of one view. Sizes are (height, width) in pixels."""

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

    name: str = field(
        default=DEFAULT_TRANSFORM,
        metadata={"help": "transform that creates the views: 'default', or that of a plugin"},
    )
    image_size: int | tuple[int, int] = field(
        default=(224, 224),
        validator=sizes,
        metadata={"help": "size of a view in pixels, or (height, width)"},
    )
    num_views: int = field(
        default=1,
        validator=and_(ge(1), le(MOST_VIEWS)),
        metadata={"help": "global views per image"},
    )
    channel_drop: ChannelDropArgs | None = field(
        default=None, metadata={"help": "drop random channels of multi-channel images"}
    )
    num_channels: int | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "channels of the network's input; auto: those that channel_drop keeps, or "
            "len(mean)"
        },
    )

    value_range: tuple[float, float] | None = field(
        default=None,
        validator=value_range,
        metadata={
            "help": "pixel values that become black and white, for images of more than 8 bit, "
            "signed or float pixels; None: by the number of bits, [0, 1] for floats"
        },
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
    random_rotation: RandomRotationArgs | None = field(default=None, metadata={"help": "rotation"})
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
        """Channels of the images as they are read, before any are dropped."""
        if self.channel_drop is not None:
            return len(self.channel_drop.weight_drop)
        return self.channels

    def view_specs(self) -> tuple[ViewSpec, ...]:
        """Return the full description of each view."""
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
    """Global views that may differ from each other, and optional local views."""

    num_views: int = field(
        default=2,
        validator=and_(ge(2), le(MOST_VIEWS)),
        metadata={"help": "global views per image"},
    )
    global_view_1: GlobalView1Args | None = field(
        default=None, metadata={"help": "what differs in the second, fourth, ... global view"}
    )
    local_view: LocalViewArgs | None = field(
        default=None, metadata={"help": "local views, in addition to the global views"}
    )

    def view_specs(self) -> tuple[ViewSpec, ...]:
        """Return the global views first, then the local ones."""
        views = list(super().view_specs())
        other = self.global_view_1
        if other is not None:
            changes = {f.name: getattr(other, f.name) for f in fields(GlobalView1Args)}
            changes = {name: value for name, value in changes.items() if value != "same"}
            views[1::2] = [evolve(view, **changes) for view in views[1::2]]
        if self.local_view is not None:
            local = evolve(
                views[0],
                size=pair(self.local_view.view_size),
                random_resize=self.local_view.random_resize,
                gaussian_blur=self.local_view.gaussian_blur,
            )
            views += [local] * self.local_view.num_views
        return tuple(views)


#: Local views that are made smaller keep to multiples of the patch size for which they are meant.
_PATCH_SIDES = (16, 14)


def with_smaller_local(views: TransformArgs, size: tuple[int, int]) -> TransformArgs:
    """Return `views`, with local views as small beside global views of `size` as beside their own.

    Local views of 96 pixels belong to global views of 224. Beside global views of 64 pixels they
    have 32. Beside larger global views than their own they stay as they are.

    Args:
        views: The augmentation that a method was published with.
        size: Height and width of a global view in pixels.
    """
    if not isinstance(views, MultiCropTransformArgs) or size == views.size:
        return views
    local = views.local_view
    if local is None:
        return views
    published = zip(pair(local.view_size), views.size, size, strict=True)
    height, width = (_smaller(side, before, now) for side, before, now in published)
    if (height, width) == pair(local.view_size):
        return views
    return evolve(views, local_view=evolve(local, view_size=(height, width)))


def _smaller(side: int, before: int, now: int) -> int:
    """Return the side of a local view beside a global one of `now` pixels instead of `before`."""
    step = next((patch for patch in _PATCH_SIDES if side % patch == 0), 1)
    return min(side, step * max(1, round(side * now / before / step)))
