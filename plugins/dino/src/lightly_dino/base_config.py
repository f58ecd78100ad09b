"""Options that the methods of the DINO family share. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field
from attrs.validators import ge, optional

from lightly_core.config.method import (
    AdamWArgs,
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    LocalViewArgs,
    MultiCropTransformArgs,
    RandomResizeArgs,
    Requires,
    RunFacts,
    SGDArgs,
    SolarizeArgs,
    TeacherConfig,
    above_zero_to_one,
    at_least,
    auto_or,
    hidden_dim,
    loss_weight,
    not_negative,
    num_layers,
    positive,
    zero_to_one,
)
from lightly_core.parts.schedules import capped_warmup, teacher_temperature

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

#: Largest dataset for each number of prototypes; those of LightlyTrain, the last is the paper's.
_OUTPUT_DIMS = {20_000: 1024, 50_000: 2048, 100_000: 4096, 200_000: 16384, 500_000: 32768}
_LARGEST_OUTPUT_DIM = 65536
#: Between these sizes of a dataset, values go from those for small sets to the paper's.
_SMALL, _LARGE = 20_000, 1_000_000
#: The prototypes are frozen for at most this fraction of a run: one epoch may be much of it.
_FROZEN_FRACTION = 0.05

Centering = Literal["softmax", "sinkhorn", "sinkhorn_knopp"]


def multi_crop(
    *, scale: float, num_local: int, local_size: int, size: int = 224
) -> MultiCropTransformArgs:
    """Return the augmentation of the family: two global views, and local views below `scale`.

    Args:
        scale: Smallest global and largest local crop, as a fraction of the image.
        num_local: Number of local views.
        local_size: Their side in pixels.
        size: Side of the global views in pixels.
    """
    return MultiCropTransformArgs(
        image_size=(size, size),
        num_views=2,
        random_resize=RandomResizeArgs(min_scale=scale, max_scale=1.0),
        color_jitter=ColorJitterArgs(
            prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
        ),
        random_gray_scale=0.2,
        gaussian_blur=GaussianBlurArgs(prob=1.0),
        solarize=None,
        global_view_1=GlobalView1Args(
            gaussian_blur=GaussianBlurArgs(prob=0.1),
            solarize=SolarizeArgs(prob=0.2, threshold=0.5),
        ),
        local_view=LocalViewArgs(
            num_views=num_local,
            view_size=local_size,
            random_resize=RandomResizeArgs(min_scale=0.05, max_scale=scale),
            gaussian_blur=GaussianBlurArgs(prob=0.5),
        ),
    )


# Fields whose default differs within the family. As attrs' own `field`, these functions are
# annotated with the type that an instance holds.


def momentum_start(default: float | Literal["auto"], note: str = "") -> float | Literal["auto"]:
    """Return the field ``momentum_start``; `note` is added to its help."""
    made: float | Literal["auto"] = field(
        default=default,
        validator=auto_or(zero_to_one),
        metadata={
            "help": "momentum of the teacher's average in the first step" + note,
            "aliases": ("teacher_momentum",),
        },
    )
    return made


def layer_decay(default: float) -> float:
    """Return the field ``layer_decay``."""
    return field(
        default=default,
        validator=above_zero_to_one,
        metadata={
            "help": "ratio of the learning rates of neighbouring blocks, smaller towards the input",
            "aliases": ("layerwise_decay",),
        },
    )


def patch_embed_lr_factor(default: float) -> float:
    """Return the field ``patch_embed_lr_factor``."""
    return field(
        default=default,
        validator=positive,
        metadata={
            "help": "further factor on the learning rate of the patch embedding",
            "aliases": ("patch_embed_lr_multiplier",),
        },
    )


def num_prototypes(default: int | Literal["auto"] = "auto") -> int | Literal["auto"]:
    """Return the field ``output_dim`` of heads with prototypes."""
    made: int | Literal["auto"] = field(
        default=default,
        validator=auto_or(ge(1)),
        metadata={
            "help": "number of prototypes; auto: from 1024 for 20,000 images to 65536 for more "
            "than 500,000"
        },
    )
    return made


def centering(default: Centering) -> Centering:
    """Return the field ``centering``."""
    made: Centering = field(
        default=default,
        metadata={
            "help": "what keeps the teacher from giving all images one class: softmax subtracts a "
            "moving centre, sinkhorn (or sinkhorn_knopp) balances the classes of the batch",
            "aliases": ("center_method",),
        },
    )
    return made


@define(frozen=True, kw_only=True)
class SelfDistillationConfig(TeacherConfig):
    """Options of all methods: teacher, learning rates, and continuing from trained weights."""

    requires = Requires(global_views=at_least(2), local_views=True, images=2)
    views = multi_crop(scale=0.14, num_local=6, local_size=96)  # DINO's for ResNet-50
    optimizers = {
        # DINO's for transformers.
        "adamw": AdamWArgs(
            lr=5e-4, weight_decay=0.04, weight_decay_end=0.4, final_lr_fraction=0.002
        ),
        # DINO's for ResNet-50.
        "sgd": SGDArgs(lr=0.03, weight_decay=1e-4, momentum=0.9),
    }
    target_steps = 125_000  # 100 epochs of ImageNet at batch 1024
    gradient_clip_val = 3.0

    momentum_start: float | Literal["auto"] = momentum_start(
        "auto",
        "; auto: 0.99 for up to 20,000 images, 0.996 from a million on, in between in proportion",
    )
    head_warmup_steps: int = field(
        default=0,
        validator=ge(0),
        metadata={
            "help": "steps in which only the heads learn; for a backbone with trained weights",
            "aliases": ("student_freeze_backbone_steps", "freeze_backbone_steps"),
        },
    )
    head_warmup_epochs: float | None = field(
        default=None,
        validator=optional(not_negative),
        metadata={"help": "the same in epochs, in place of head_warmup_steps"},
    )
    backbone_lr_factor: float = field(
        default=1.0,
        validator=positive,
        metadata={"help": "factor on the learning rate of the backbone"},
    )
    layer_decay: float = layer_decay(1.0)
    patch_embed_lr_factor: float = patch_embed_lr_factor(1.0)
    anchor_weight: float = loss_weight(
        0.0,
        "the distance to the features of the untouched backbone, against forgetting; 0 saves the "
        "memory of a second backbone",
    )

    def __attrs_post_init__(self) -> None:
        """Refuse two lengths of the heads' warm-up."""
        if self.head_warmup_steps and self.head_warmup_epochs is not None:
            raise ValueError(
                f"head_warmup_steps={self.head_warmup_steps} and head_warmup_epochs="
                f"{self.head_warmup_epochs} are both given; keep one"
            )

    def needs_building(self) -> bool:
        """Return whether the backbone needs blocks, for learning rates that differ among them."""
        by_layer = self.layer_decay < 1 or self.patch_embed_lr_factor != 1
        return by_layer or super().needs_building()

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum, and turn epochs of warm-up into steps."""
        steps = self.head_warmup_steps
        if self.head_warmup_epochs is not None:
            steps = round(self.head_warmup_epochs * facts.steps_per_epoch)
        resolved = super().resolve(facts)
        return evolve(resolved, head_warmup_steps=steps, head_warmup_epochs=None)

    def auto_momentum(self, facts: RunFacts) -> float:
        """Return 0.99 for small sets, the paper's momentum for large ones."""
        return _between(facts.dataset_size, 0.99, 0.996)


@define(frozen=True, kw_only=True)
class PrototypeConfig(SelfDistillationConfig):
    """Options of the methods whose heads end in prototypes."""

    schedules = ("teacher_momentum", "teacher_temp")

    hidden_dim: int = hidden_dim(2048, "head")
    num_layers: int = num_layers(3, "head", ", without the prototypes")
    bottleneck_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={
            "help": "dimension in which features and prototypes are compared",
            "aliases": ("dino_bottleneck_dim",),
        },
    )
    output_dim: int | Literal["auto"] = num_prototypes()
    batch_norm: bool = field(
        default=False, metadata={"help": "batch norms in the heads; the papers have none"}
    )
    freeze_last_layer_steps: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "steps in which the prototypes are frozen; auto: those of an epoch, at most "
            "1250 and 5 % of the run",
            "aliases": ("student_freeze_last_layer_steps",),
        },
    )
    student_temp: float = field(
        default=0.1, validator=positive, metadata={"help": "temperature of the student's softmax"}
    )
    teacher_temp: float | Literal["auto"] = field(
        default="auto",
        validator=auto_or(positive),
        metadata={
            "help": "temperature of the teacher's softmax; auto: 0.02 for up to 20,000 images, "
            "0.07 from a million on, in between in proportion"
        },
    )
    warmup_teacher_temp: float | Literal["auto"] = field(
        default="auto",
        validator=auto_or(positive),
        metadata={
            "help": "the same in the first step; auto: 0.02 for up to 20,000 images, 0.04 from a "
            "million on, and not above teacher_temp"
        },
    )
    warmup_teacher_temp_steps: int = field(
        default=37_500,
        validator=ge(0),
        metadata={"help": "steps of a straight line from the first to the final temperature"},
    )
    warmup_teacher_temp_max_fraction: float = field(
        default=0.3,
        validator=zero_to_one,
        metadata={
            "help": "largest fraction of the run that this takes",
            "aliases": ("warmup_teacher_temp_max_steps_fraction",),
        },
    )
    centering: Literal["softmax", "sinkhorn", "sinkhorn_knopp"] = centering("softmax")
    center_momentum: float = field(
        default=0.9, validator=zero_to_one, metadata={"help": "momentum of the centre"}
    )

    def teacher_temperature(self, step: int, total_steps: int) -> float:
        """Return the temperature of the teacher's softmax in a step."""
        return teacher_temperature(
            step,
            total=total_steps,
            start=float(self.warmup_teacher_temp),
            end=float(self.teacher_temp),
            warmup_steps=self.warmup_teacher_temp_steps,
            max_fraction=self.warmup_teacher_temp_max_fraction,
        )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace what depends on the number of images and on the length of the run."""
        output_dim, freeze = self.output_dim, self.freeze_last_layer_steps
        first, temperature = self.warmup_teacher_temp, self.teacher_temp
        if output_dim == "auto":
            fitting = [dim for size, dim in _OUTPUT_DIMS.items() if facts.dataset_size <= size]
            output_dim = fitting[0] if fitting else _LARGEST_OUTPUT_DIM
        if freeze == "auto":
            epoch = min(facts.steps_per_epoch, 1250)
            freeze = capped_warmup(epoch, facts.total_steps, _FROZEN_FRACTION)
        if temperature == "auto":
            temperature = _between(facts.dataset_size, 0.02, 0.07)
        if first == "auto":
            first = min(temperature, _between(facts.dataset_size, 0.02, 0.04))
        return evolve(
            super().resolve(facts),
            output_dim=output_dim,
            freeze_last_layer_steps=freeze,
            teacher_temp=temperature,
            warmup_teacher_temp=first,
        )


@define(frozen=True, kw_only=True)
class MaskArgs:
    """Which patches of the student's global views are masked, in blocks."""

    probability: float = field(
        default=0.5,
        validator=zero_to_one,
        metadata={"help": "probability that a view is masked at all"},
    )
    min_ratio: float = field(
        default=0.1,
        validator=zero_to_one,
        metadata={"help": "smallest fraction of masked patches in a masked view"},
    )
    max_ratio: float = field(
        default=0.5,
        validator=above_zero_to_one,
        metadata={"help": "largest fraction of masked patches in a masked view"},
    )
    smallest_block: int | None = field(
        default=4,
        metadata={
            "help": "least area of a block in patches; None: (shorter side // 3) ** 2, which is 16 "
            "for 14 x 14 patches"
        },
    )

    @smallest_block.validator
    def _not_empty(self, attribute: object, value: int | None) -> None:
        if value is not None and value < 1:
            raise ValueError(f"'smallest_block' must be >= 1 or None, got {value}")

    def __attrs_post_init__(self) -> None:
        """Refuse a range whose ends are swapped."""
        if self.min_ratio > self.max_ratio:
            raise ValueError(
                f"expected min_ratio <= max_ratio, got {self.min_ratio} and {self.max_ratio}"
            )


def _between(dataset_size: int, small: float, large: float) -> float:
    """Return `small` for small sets, `large` for large ones, rounded to four digits."""
    progress = (dataset_size - _SMALL) / (_LARGE - _SMALL)
    return round(small + (large - small) * min(1.0, max(0.0, progress)), 4)
