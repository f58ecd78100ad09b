"""What a method's option class inherits. No torch here: `--help` and `--dry-run` read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define

from lightly_core.config.options.fields import plain
from lightly_core.config.options.optim import OPTIMIZERS, AdamArgs, AdamWArgs, OptimizerArgs
from lightly_core.config.options.requires import Requires
from lightly_core.config.options.transform import TransformArgs

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
    #: Names of all metrics that `Method.training_step` can return; None: they are not known.
    #: Where they are known, a `monitor` that is none of them is refused.
    metrics: ClassVar[tuple[str, ...] | None] = None
    #: Names of what `Method.scheduled_values` returns.
    schedules: ClassVar[tuple[str, ...]] = ()
    #: What the method needs of views, batch and backbone; see `requirements`.
    requires: ClassVar[Requires] = Requires()
    #: The augmentation that the method was published with.
    views: ClassVar[TransformArgs] = TransformArgs()
    #: The method's values for optimizers by name; a subclass adds to those of its base.
    optimizers: ClassVar[Mapping[str, OptimizerArgs]] = {}
    #: Optimizer that ``optim="auto"`` means.
    optimizer: ClassVar[str] = "adamw"
    #: Optimizer steps that ``epochs="auto"`` aims at.
    target_steps: ClassVar[int] = 100_000
    #: Whether the loss leaves free how much the pooled features of images differ, as masked
    #: prediction does: only a far smaller spread is then called a collapse.
    spread_is_free: ClassVar[bool] = False
    #: Largest norm of the gradient where ``trainer_args`` names none; None: it is not clipped.
    gradient_clip_val: ClassVar[float | None] = None

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the augmentation that the method was published with."""
        return cls.views

    @classmethod
    def metric_names(cls) -> tuple[str, ...] | None:
        """Return the names of all metrics that the method logs; None: they are not known."""
        if cls.metrics is None:
            return None
        return (*cls.metrics, *(f"schedule/{name}" for name in cls.schedules))

    def requirements(self) -> Requires:
        """Return what the method needs with these options. By default that is `requires`."""
        return self.requires

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return the method's values for the optimizer called `name`.

        Those for Adam are the method's for AdamW without the decay, see `AdamArgs.like`.
        """
        for base in cls.__mro__:
            own: Mapping[str, OptimizerArgs] = vars(base).get("optimizers", {})
            if name in own:
                return own[name]
        if name == "adam":
            adamw = cls.default_optimizer("adamw")
            return AdamArgs.like(adamw) if isinstance(adamw, AdamWArgs) else AdamArgs()
        return OPTIMIZERS[name]()

    def view_period(self) -> int | None:
        """Return after how many epochs the views of every image repeat; None: never.

        With a period of K, what is drawn for an image in epoch e is what was drawn in epoch e - K,
        and `lightly_core.contracts.Batch.view_ids` tells which views these are. The order of the
        images never repeats.
        """
        return None

    def resolve(self, facts: RunFacts) -> Self:
        """Return a copy in which every "auto" has become a value."""
        return self


def unresolved(config: MethodConfig) -> list[str]:
    """Return the names of the options that are still "auto"."""
    return [name for name, value in plain(config).items() if value == "auto"]
