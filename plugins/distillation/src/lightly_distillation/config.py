"""Options of the three distillations. What they share is in `DistillationConfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import Attribute, define, evolve, field
from attrs.validators import and_, ge, optional

from lightly_core.config.method import (
    ColorJitterArgs,
    LARSArgs,
    MethodCard,
    MethodConfig,
    NormalizeArgs,
    RandomFlipArgs,
    RandomResizeArgs,
    Requires,
    RunFacts,
    TransformArgs,
    exactly,
    fit_queue,
    hidden_dim,
    not_empty,
    not_negative,
    num_layers,
    paper_adamw,
    positive,
    queue_size,
    temperature,
)
from lightly_core.config.options.settings import PythonObject
from lightly_core.download import is_url, parse_url
from lightly_core.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

#: Rows of the queue by the largest dataset that has them, as in LightlyTrain.
_QUEUE_SIZES = {
    50: 16,
    100: 32,
    250: 64,
    500: 128,
    1_000: 256,
    2_000: 512,
    4_000: 1024,
    10_000: 2048,
    20_000: 4096,
}
_LARGEST_QUEUE = 8192
#: Batch size at which the learning rates of all versions hold.
_BATCH_SIZE = 1536

_TEACHER_HELP = (
    "model to learn from: 'library/name', or (Python) a module or wrapper, which is copied and "
    "never changed"
)

# As in LightlyTrain, without its blur of sigma <= 0.1, which changes no pixel.
_VIEWS = TransformArgs(
    num_views=1,
    random_resize=RandomResizeArgs(min_scale=0.14, max_scale=1.0),
    random_flip=RandomFlipArgs(horizontal_prob=0.5, vertical_prob=0.0),
    color_jitter=ColorJitterArgs(
        prob=0.8, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
    ),
    random_gray_scale=0.2,
    gaussian_blur=None,
    solarize=None,
)


def _lars(lr: float) -> LARSArgs:
    """Return LARS whose learning rate is `lr` at `_BATCH_SIZE`."""
    return LARSArgs(
        lr=lr,
        momentum=0.9,
        weight_decay=1e-6,
        lr_scale_method="sqrt",
        reference_batch_size=_BATCH_SIZE,
    )


def _address(instance: object, attribute: Attribute[Any], value: str) -> None:
    """Accept the URL of a file."""
    if not is_url(value):
        raise ValueError(
            f"'{attribute.name}' must be an address that starts with http://, https:// or file://, "
            f"got '{value}'; a file on this machine is teacher_weights"
        )
    try:
        parse_url(value, "the teacher's weights")
    except ConfigError as error:
        raise ValueError(f"'{attribute.name}' cannot be read: {error}") from error


@define(frozen=True, kw_only=True)
class DistillationConfig(MethodConfig):
    """Options of all three distillations: the teacher, mixup and the cache."""

    requires = Requires(global_views=exactly(1))
    metrics: ClassVar[tuple[str, ...] | None] = ("teacher/cosine",)
    views = _VIEWS
    gradient_clip_val = 1.0

    teacher: str | PythonObject = field(
        default="dinov2/vitb14-noreg",
        validator=not_empty,
        metadata={"help": _TEACHER_HELP, "model": True},
    )
    teacher_weights: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={"help": "file with weights of the teacher", "file": True},
    )
    teacher_url: str | None = field(
        default=None,
        validator=optional(and_(not_empty, _address)),
        metadata={
            "help": "URL of such a file, which is downloaded once; it may be a signed one, whose "
            "key is never written to disk"
        },
    )
    teacher_args: dict[str, Any] | None = field(
        default=None,
        metadata={"help": "arguments of the teacher's constructor, for a teacher given by name"},
    )
    teacher_precision: Literal["auto", "fp32", "bf16", "fp16"] = field(
        default="auto",
        metadata={
            "help": "number format of the teacher's products; auto: bf16 where the device "
            "computes it natively, else fp32"
        },
    )
    teacher_chunk_size: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "images that the teacher sees at once, to save memory; None: all"},
    )
    teacher_compile: bool = field(
        default=False, metadata={"help": "compile the teacher with torch.compile"}
    )
    teacher_normalize: NormalizeArgs | None = field(
        default=None,
        metadata={
            "help": "mean and std that the teacher was trained with; None: those that it knows, "
            "else those of transform_args.normalize"
        },
    )
    mixup: bool | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "blend each image with another one of the batch, for both networks; auto: "
            "unless there is a cache"
        },
    )
    cache: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "number of different views of an image, which repeat; the teacher's features "
            "of them are kept on disk; None: new views in each epoch, nothing is kept"
        },
    )
    cache_dir: str | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "folder of the kept features; None: 'features' in LIGHTLY_CACHE_DIR",
            "folder": True,
        },
    )
    cache_max_gb: float = field(
        default=50.0,
        validator=positive,
        metadata={"help": "most space that the kept features may take, in 10^9 bytes"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse two sources of weights, and blended images together with a cache."""
        if self.mixup is True and self.cache is not None:
            raise ValueError(
                f"mixup=true and cache={self.cache} are both given; keep one: blended images are "
                "new ones in each step, so that there is nothing to keep"
            )
        if self.teacher_weights is not None and self.teacher_url is not None:
            raise ValueError(
                "teacher_weights and teacher_url are both given; keep one: teacher_weights for a "
                "file on this machine, teacher_url for an address"
            )

    def needs_building(self) -> bool:
        """Return True: the teacher has its own name, arguments and weights."""
        return True

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the precision of the teacher, and "auto" of mixup."""
        precision = self.teacher_precision
        if precision == "auto":
            precision = "bf16" if facts.native_bf16 else "fp32"
        resolved = super().resolve(facts)
        return evolve(resolved, teacher_precision=precision, mixup=self.blends())

    def blends(self) -> bool:
        """Return whether images are blended by mixup, also where "auto" was not replaced."""
        return self.cache is None if self.mixup == "auto" else self.mixup

    def view_period(self) -> int | None:
        """Return the number of different views of an image; None: they never repeat."""
        return self.cache


@define(frozen=True, kw_only=True)
class QueueConfig(DistillationConfig):
    """Options of the first and the third version, which have a queue of teacher features."""

    queue_size: int | Literal["auto"] = queue_size(
        "earlier images that each one is compared with; auto: from the dataset"
    )

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the size of the queue, and what all versions replace."""
        return evolve(super().resolve(facts), queue_size=queue_rows(self.queue_size, facts))


@define(frozen=True, kw_only=True)
class DistillationV1Config(QueueConfig):
    """Options of distillationv1."""

    shardable = True

    card = MethodCard(
        paper="LightlyTrain",
        url="https://docs.lightly.ai/train",
        teacher="frozen",
        memory="queue",
        use="a trained teacher, and only features of whole images matter",
    )
    optimizer = "lars"
    optimizers = {
        "lars": _lars(1.8),
        "adamw": paper_adamw(5e-4, _BATCH_SIZE, weight_decay=0.0, warmup_epochs=10.0),
    }

    temperature: float = temperature(0.07, "smaller values emphasise the most similar images")


@define(frozen=True, kw_only=True)
class DistillationV2Config(DistillationConfig):
    """Options of distillationv2."""

    shardable = True

    card = MethodCard(
        paper="LightlyTrain",
        url="https://docs.lightly.ai/train",
        needs="feature maps of the teacher",
        teacher="frozen",
        use="first choice if a trained teacher is available",
    )
    optimizer = "lars"
    optimizers = {
        "lars": _lars(9.0),
        # LARS is five times as fast here as in the first version. AdamW is four times as fast.
        "adamw": paper_adamw(2e-3, _BATCH_SIZE, weight_decay=0.01, warmup_epochs=10.0),
    }

    loss: Literal["mse", "normalized_mse", "cosine"] = field(
        default="mse",
        metadata={
            "help": "distance to the teacher's features: mse; normalized_mse: to features that "
            "are standardised at each position; cosine: of their directions only"
        },
    )
    n_teacher_blocks: int = field(
        default=2,
        validator=ge(1),
        metadata={"help": "how many of the teacher's last blocks are predicted"},
    )
    n_projection_layers: int = num_layers(1, of="head that predicts the teacher's features")
    projection_hidden_dim: int = hidden_dim(2048, of="head")


@define(frozen=True, kw_only=True)
class DistillationV3Config(QueueConfig):
    """Options of distillationv3."""

    metrics = ("train_loss/global", "train_loss/local", "teacher/cosine")
    shardable = True

    card = MethodCard(
        paper="LightlyTrain",
        url="https://docs.lightly.ai/train",
        needs="feature maps of both",
        teacher="frozen",
        memory="queue",
        use="a trained teacher, and images large enough for parts to matter",
    )
    optimizer = "adamw"
    optimizers = {
        "lars": _lars(1.8),
        "adamw": paper_adamw(5e-4, _BATCH_SIZE, weight_decay=0.04, warmup_epochs=10.0),
    }

    teacher: str | PythonObject = field(
        default="dinov3/vitb16",
        validator=not_empty,
        metadata={"help": _TEACHER_HELP, "model": True},
    )
    temperature_global: float = field(
        default=0.07,
        validator=positive,
        metadata={"help": "temperature of the softmax in the comparison of images"},
    )
    temperature_local: float = field(
        default=0.07,
        validator=positive,
        metadata={"help": "temperature of the softmax in the comparison of parts of an image"},
    )
    loss_local_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of the comparison of parts of an image"},
    )
    local_chunk_size: int = field(
        default=4096,
        validator=ge(1),
        metadata={
            "help": "positions whose similarities are held in memory at once; fewer need less "
            "memory and give the same numbers"
        },
    )
    conv_decay_factor: float = field(
        default=2.5e-5,
        validator=positive,
        metadata={
            "help": "factor on optim_args.weight_decay for students made of convolutions and batch "
            "norm, for which 1e-6 is usual where transformers have 0.04; 1: the same for all"
        },
    )


def queue_rows(wanted: int | Literal["auto"], facts: RunFacts) -> int:
    """Return the number of rows of the queue, fewer than there are images.

    Args:
        wanted: As the user set it.
        facts: Facts of the run.

    Raises:
        ConfigError: As many rows are wanted as there are images, or more.
    """
    if wanted != "auto":
        return fit_queue(wanted, facts, largest=wanted)
    images = facts.dataset_size
    rows = next((rows for most, rows in _QUEUE_SIZES.items() if images <= most), _LARGEST_QUEUE)
    return max(1, min(rows, images - 1))
