"""Options that several methods have. No torch here."""

from __future__ import annotations

from lightly_core.config.augmentations import RandomFlipArgs, RandomResizeArgs
from lightly_core.config.optim import AdamWArgs
from lightly_core.config.transform import TransformArgs


def check_heads(dim_name: str, dim: int, heads_name: str, num_heads: int) -> None:
    """Refuse a width that cannot be split among attention heads or into positions.

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
        min_scale: Smallest area of a crop, as a share of the image.
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


def paper_adamw(
    lr: float,
    batch_size: int,
    *,
    weight_decay: float,
    weight_decay_end: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    warmup_epochs: float,
    final_lr_fraction: float = 0.001,
) -> AdamWArgs:
    """Return AdamW with the learning rate that a paper has at its batch size.

    At other batch sizes the rate follows the square root, which suits adaptive steps: the linear
    rule from the papers' thousands down to 64 images would learn next to nothing.
    """
    return AdamWArgs(
        lr=lr,
        reference_batch_size=batch_size,
        lr_scale_method="sqrt",
        weight_decay=weight_decay,
        weight_decay_end=weight_decay_end,
        betas=betas,
        warmup_epochs=warmup_epochs,
        final_lr_fraction=final_lr_fraction,
    )
