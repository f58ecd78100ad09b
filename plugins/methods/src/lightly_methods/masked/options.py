"""Options that several methods of masked prediction have. No torch here."""

from __future__ import annotations

from attrs import field
from attrs.validators import and_, gt, lt

from lightly_core.config.method import RandomFlipArgs, RandomResizeArgs, TransformArgs


def check_heads(dim_name: str, dim: int, heads_name: str, num_heads: int) -> None:
    """Refuse a dimension that cannot be split among attention heads or into positions.

    Raises:
        ValueError: `dim` is no multiple of `num_heads`, or of 4.
    """
    if dim % num_heads or dim % 4:
        raise ValueError(
            f"expected '{dim_name}' to be a multiple of '{heads_name}' and of 4, got "
            f"{dim_name}={dim} and {heads_name}={num_heads}"
        )


def crop_and_flip(min_scale: float, *, flip: float = 0.5) -> TransformArgs:
    """Return one view without changes of colour, as masked prediction uses it.

    Args:
        min_scale: Smallest area of a crop, as a fraction of the image.
        flip: Probability of mirroring.
    """
    return TransformArgs(
        num_views=1,
        random_resize=RandomResizeArgs(min_scale=min_scale, max_scale=1.0),
        random_flip=RandomFlipArgs(horizontal_prob=flip, vertical_prob=0.0) if flip else None,
        color_jitter=None,
        random_gray_scale=None,
        gaussian_blur=None,
        solarize=None,
    )


def mask_ratio(default: float, of: str = "patches", note: str = "") -> float:
    """Return the field ``mask_ratio``; `note` is added to its help."""
    return field(
        default=default,
        validator=and_(gt(0), lt(1)),
        metadata={"help": f"fraction of the {of} that are hidden from the backbone{note}"},
    )
