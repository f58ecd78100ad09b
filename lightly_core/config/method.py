"""What a method's option class inherits. No torch here: `--help` and `--dry-run` read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define

from lightly_core.config.fields import plain
from lightly_core.config.optim import OPTIMIZERS, AdamArgs, AdamWArgs, OptimizerArgs
from lightly_core.config.transform import TransformArgs

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11


@define(frozen=True)
class RunFacts:
    """What is known of a run before anything heavy is built.

    Attributes:
        dataset_size: Number of images.
        effective_batch_size: Images per optimizer step: devices, nodes and accumulation counted.
        total_steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps of one epoch.
        native_bf16: Whether the accelerator computes bfloat16 natively.
    """

    dataset_size: int
    effective_batch_size: int
    total_steps: int
    steps_per_epoch: int
    native_bf16: bool = False


@define(frozen=True, kw_only=True)
class MethodCard:
    """What the table of all methods says of one, see docs/methods.md.

    Attributes:
        paper: First author and year.
        arxiv: Its number there, such as ``2002.05709``; empty where the paper is elsewhere.
        url: Address of a paper that is not on arXiv.
        needs: What it asks of a backbone or of the images beyond `ModelWrapper`, in a word or two.
        teacher: ``average`` of past students, ``frozen`` network, or ``none``.
        memory: What is kept from batch to batch beside that, such as "queue"; empty: nothing.
        use: When to take it, in half a sentence.
    """

    paper: str
    arxiv: str = ""
    url: str = ""
    needs: str = ""
    teacher: Literal["none", "average", "frozen"] = "none"
    memory: str = ""
    use: str


@define(frozen=True, kw_only=True)
class MethodConfig:
    """Base of all method options.

    A subclass is a frozen attrs class; each field has a default and a ``help`` text in its
    metadata, and may have ``aliases``: other names under which users know it.
    """

    #: What the table of methods says; None: the method is left out of it.
    card: ClassVar[MethodCard | None] = None
    #: Names of all metrics that `Method.training_step` can give; None: nothing is known of them.
    #: A `monitor` that nothing gives is refused where they are known.
    metrics: ClassVar[tuple[str, ...] | None] = None
    #: Optimizer that ``optim="auto"`` means.
    optimizer: ClassVar[str] = "adamw"
    #: Optimizer steps that ``epochs="auto"`` aims at.
    target_steps: ClassVar[int] = 100_000
    #: Fewest and most global views per image; None means no upper limit.
    view_counts: ClassVar[tuple[int, int | None]] = (1, None)
    #: Whether the loss leaves free how much the pooled features of images differ, as masked
    #: prediction does: only a far smaller spread is then called a collapse.
    spread_is_free: ClassVar[bool] = False
    #: Whether the method is told where in the image each view comes from, `Batch.crops`.
    wants_crops: ClassVar[bool] = False
    #: Largest norm of the gradient where ``trainer_args`` names none; None: it is not clipped.
    gradient_clip_val: ClassVar[float | None] = None

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the augmentation that the method was published with."""
        return TransformArgs()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return the method's values for the optimizer called `name`.

        Those for Adam are the method's for AdamW without the decay, see `AdamArgs.like`.
        """
        if name == "adam":
            adamw = cls.default_optimizer("adamw")
            return AdamArgs.like(adamw) if isinstance(adamw, AdamWArgs) else AdamArgs()
        return OPTIMIZERS[name]()

    def view_period(self) -> int | None:
        """Return after how many epochs the views of every image repeat; None: never.

        With a period of K, what is drawn for an image in epoch e is what was drawn in epoch e - K,
        and `lightly_core.protocols.Batch.view_ids` tells which views these are. The order of the
        images never repeats.
        """
        return None

    def resolve(self, facts: RunFacts) -> Self:
        """Return a copy in which every "auto" has become a value."""
        return self


def unresolved(config: MethodConfig) -> list[str]:
    """Return the names of the options that are still "auto"."""
    return [name for name, value in plain(config).items() if value == "auto"]
