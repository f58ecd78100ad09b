"""Base class of the options of a method. No torch here: `--help` and `--dry-run` import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define

from lightly_core.config.options.fields import plain
from lightly_core.config.options.optim import OPTIMIZERS, AdamArgs, AdamWArgs, OptimizerArgs
from lightly_core.config.options.requires import Requires
from lightly_core.config.options.short_runs import SmallRecipe
from lightly_core.config.options.transform import TransformArgs

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11


@define(frozen=True)
class RunFacts:
    """Facts about a run that are known before the model is built.

    Attributes:
        dataset_size: Number of images.
        effective_batch_size: Images per optimizer step, over all devices, nodes and accumulated
            batches.
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
    """The row of a method in the table of all methods, see docs/methods.md.

    Attributes:
        paper: First author and year.
        arxiv: Number of the paper on arXiv, such as ``2002.05709``. Empty if it is not there.
        url: Address of a paper that is not on arXiv.
        needs: What the backbone or the images must provide beyond `ModelWrapper`, in a word or two.
        teacher: ``average`` of past students, ``frozen`` network, or ``none``.
        memory: What is kept from batch to batch in addition to the teacher, such as "queue".
        use: When to use the method, in half a sentence.
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
    """Base class of the options of a method.

    A subclass is a frozen attrs class. Each field has a default and a ``help`` text in its
    metadata. It may also have ``aliases``, other names under which users may give it.
    """

    #: The method's row in the table of all methods; None: it has no row.
    card: ClassVar[MethodCard | None] = None
    #: Names of all metrics that `Method.training_step` can return; None: they are not known.
    #: If they are known, a `monitor` that is not one of them is refused.
    metrics: ClassVar[tuple[str, ...] | None] = None
    #: Names of the values that `Method.scheduled_values` returns.
    schedules: ClassVar[tuple[str, ...]] = ()
    #: Requirements on views, batch and backbone; see `requirements`.
    requires: ClassVar[Requires] = Requires()
    #: The augmentation that the method was published with.
    views: ClassVar[TransformArgs] = TransformArgs()
    #: Default options of optimizers, by name. A subclass adds to those of its base.
    optimizers: ClassVar[Mapping[str, OptimizerArgs]] = {}
    #: Optimizer that ``optim="auto"`` selects.
    optimizer: ClassVar[str] = "adamw"
    #: What differs in short runs; None: the paper's values are used there too. It is not
    #: inherited, as its values were measured with this method.
    small: ClassVar[SmallRecipe | None] = None
    #: Number of optimizer steps that ``epochs="auto"`` aims at.
    target_steps: ClassVar[int] = 100_000
    #: Whether the loss does not constrain how much the pooled features of images differ, as in
    #: masked prediction. A collapse is then reported only at a much smaller dispersion.
    spread_is_free: ClassVar[bool] = False
    #: Whether the method has been compared with sharded weights, see docs/several-devices.md. It is
    #: not inherited, as a derived method may use weights in other ways.
    shardable: ClassVar[bool] = False
    #: Norm to which gradients are clipped if ``trainer_args`` sets none; None: no clipping.
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

    def needs_building(self) -> bool:
        """Return whether only `Method.build` can tell that these options are possible.

        `lightly run --dry-run` then builds the networks. By default that is so if the method needs
        a capability of the backbone.
        """
        requires = self.requirements()
        return requires.capability is not None or requires.whole_patches

    def requirements(self) -> Requires:
        """Return the requirements of the method with these options. By default `requires`."""
        return self.requires

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return the method's default options for the optimizer called `name`.

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

        With a period of K, the views of an image in epoch e are those of epoch e - K, and
        `lightly_core.contracts.Batch.view_ids` identifies them. The order of the images never
        repeats.
        """
        return None

    def resolve(self, facts: RunFacts) -> Self:
        """Return a copy in which every "auto" is replaced by a value."""
        return self


def unresolved(config: MethodConfig) -> list[str]:
    """Return the names of the options that are still "auto"."""
    return [name for name, value in plain(config).items() if value == "auto"]


def small_recipe(config_cls: type[MethodConfig]) -> SmallRecipe | None:
    """Return the values that a method itself sets in short runs."""
    own: SmallRecipe | None = vars(config_cls).get("small")
    return own
