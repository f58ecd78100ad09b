"""Options that several methods have. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import and_, ge, gt, le, lt

from lightly_core.config.augmentations import RandomFlipArgs, RandomResizeArgs
from lightly_core.config.checks import finite
from lightly_core.config.method import MethodConfig, RunFacts
from lightly_core.config.optim import AdamWArgs
from lightly_core.config.transform import TransformArgs

positive = and_(finite, gt(0))
not_negative = and_(finite, ge(0))
share = and_(finite, ge(0), le(1))
below_one = and_(finite, ge(0), lt(1))

# A teacher's memory, 1 / (1 - momentum) steps, is this share of the run, within limits: with the
# papers' momentum a run of some hundred steps would export a teacher that has hardly moved.
_MEMORY_SHARE = 0.02


@define(frozen=True, kw_only=True)
class TeacherConfig(MethodConfig):
    """What all methods with a teacher have that follows the student."""

    #: Momentum of the paper, which ``auto`` takes in long runs.
    paper_momentum: ClassVar[float] = 0.996
    #: Momentum below which ``auto`` does not go, however short the run.
    least_momentum: ClassVar[float] = 0.9

    momentum_start: float | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "momentum of the teacher's average at the start; auto: the paper's, or less in "
            "runs of less than some ten thousand steps",
            "aliases": ("teacher_momentum",),
        },
    )
    momentum_end: float = field(
        default=1.0,
        validator=share,
        metadata={"help": "momentum towards which it rises until the end"},
    )
    export: Literal["teacher", "student"] = field(
        default="teacher",
        metadata={"help": "which network is exported and evaluated; the papers take the teacher"},
    )

    @momentum_start.validator
    def _momentum_in_range(self, attribute: object, value: float | str) -> None:
        if not isinstance(value, str) and not 0 <= value <= 1:
            raise ValueError(f"'momentum_start' must be in [0, 1] or 'auto', got {value}")

    def resolve(self, facts: RunFacts) -> TeacherConfig:
        """Replace the momentum."""
        if self.momentum_start != "auto":
            return self
        wanted = 1 - 1 / max(1.0, _MEMORY_SHARE * facts.total_steps)
        momentum = min(max(wanted, self.least_momentum), self.paper_momentum)
        return evolve(self, momentum_start=momentum)


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
