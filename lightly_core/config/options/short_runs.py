"""What methods set in short runs instead of the values of their papers. No torch here.

A paper's values are meant for a thousand times the steps of a first try on a few thousand images.
docs/first-hour.md has the measurements on which the values below rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field

from lightly_core.config.options.augmentations import LocalViewArgs, RandomResizeArgs, pair
from lightly_core.config.options.optim import AdamWArgs, OptimizerArgs
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs

#: Runs that see fewer images than this are short: number of images times epochs.
SHORT_RUN_IMAGES = 2_000_000
#: Epochs of ``epochs="auto"`` if the run is then short, and the images that it sees at least. The
#: second number is the budget of docs/first-hour.md. The first one is the smallest number of epochs
#: that docs/choosing-a-method.md names for methods without a teacher.
FIRST_EPOCHS, LEAST_SEEN = 200, 200_000
#: Views of at most this many pixels a side are small.
SMALL_SIDE = 96


def short_adamw(lr: float = 2e-3, *, weight_decay: float = 0.05) -> AdamWArgs:
    """Return AdamW whose learning rate is `lr` at 128 images and follows the root of the batch."""
    return AdamWArgs(
        lr=lr,
        weight_decay=weight_decay,
        lr_scale_method="sqrt",
        reference_batch_size=128,
        warmup_epochs=10.0,
        warmup_max_fraction=0.1,
        final_lr_fraction=0.001,
    )


@define(frozen=True, kw_only=True)
class SmallRecipe:
    """Values of a method in short runs, see `MethodConfig.small`.

    Settings of the user override them, as they override the paper's.

    Attributes:
        optimizer: Optimizer that ``optim="auto"`` selects.
        optimizers: Default options of optimizers, by name. Others keep the paper's.
        method_args: Options of the method that differ from the paper's.
        min_scale: Smallest area of a crop, as a fraction of the image; None: the paper's.
        strength: Largest strength of the colour jitter; None: the paper's.
    """

    optimizer: str = "adamw"
    optimizers: Mapping[str, OptimizerArgs] = field(factory=lambda: {"adamw": short_adamw()})
    method_args: Mapping[str, Any] = field(factory=dict)
    min_scale: float | None = 0.2
    strength: float | None = 0.5

    def views(self, paper: TransformArgs, size: int | tuple[int, int]) -> TransformArgs:
        """Return the augmentation of short runs.

        Small views are neither blurred nor solarised, and local views are half as large as the
        global ones.

        Args:
            paper: The augmentation that the method was published with.
            size: Size of a global view in pixels, or (height, width).
        """
        views = paper
        if views.random_resize is not None and self.min_scale is not None:
            resize = views.random_resize
            least = max(resize.min_scale, self.min_scale)
            views = evolve(views, random_resize=evolve(resize, min_scale=least))
        if views.color_jitter is not None and self.strength is not None:
            jitter = views.color_jitter
            strength = min(jitter.strength, self.strength)
            views = evolve(views, color_jitter=evolve(jitter, strength=strength))
        if min(pair(size)) > SMALL_SIDE:
            return views
        views = evolve(views, gaussian_blur=None, solarize=None)
        if isinstance(views, MultiCropTransformArgs):
            local = views.local_view
            views = evolve(
                views,
                global_view_1=None,
                local_view=None if local is None else _small_local(local, pair(size)),
            )
        return views


def _small_local(local: LocalViewArgs, size: tuple[int, int]) -> LocalViewArgs:
    height, width = size
    return evolve(
        local,
        num_views=min(local.num_views, 2),
        view_size=(max(1, height // 2), max(1, width // 2)),
        random_resize=RandomResizeArgs(min_scale=0.15, max_scale=0.4),
        gaussian_blur=None,
    )
