"""Options of SMoG (Pang et al. 2022, https://arxiv.org/abs/2207.06167)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.augmentations import ColorJitterArgs, GaussianBlurArgs
from lightly_core.config.checks import auto_or, positive, share
from lightly_core.config.method import MethodCard, RunFacts
from lightly_core.config.optim import AdamWArgs, LARSArgs, OptimizerArgs, SGDArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.teacher import TeacherConfig, exported
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.clustering.options import auto_clusters

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_BANK_SIZE = 10_000


@define(frozen=True, kw_only=True)
class SMoGConfig(TeacherConfig):
    """Options of SMoG; the defaults are the paper's for two views."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/cross_entropy",
        "groups/used",
        "schedule/teacher_momentum",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Pang et al. 2022",
        arxiv="2207.06167",
        teacher="average",
        memory="groups, bank of features",
        use="contrast with groups of images instead of single ones",
    )
    optimizer: ClassVar[str] = "lars"
    # 100 epochs of ImageNet at the paper's batch of 2048.
    target_steps: ClassVar[int] = 62_500
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )
    paper_momentum: ClassVar[float] = 0.999

    momentum_end: float = field(
        default=0.999,
        validator=share,
        metadata={"help": "momentum towards which it goes until the end"},
    )
    export: Literal["teacher", "student"] = exported("student")
    num_groups: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(2)),
        metadata={
            "help": "groups that views are assigned to; auto: one for a hundred images, at least "
            "64 and at most the paper's 3000"
        },
    )
    group_momentum: float = field(
        default=0.99,
        validator=share,
        metadata={"help": "momentum of the groups' average", "aliases": ("beta",)},
    )
    temperature: float = field(
        default=0.1, validator=positive, metadata={"help": "temperature of the softmax"}
    )
    reset_interval: int = field(
        default=300,
        validator=ge(0),
        metadata={
            "help": "steps after which groups are found anew by k-means among the latest features; "
            "0: never"
        },
    )
    bank_size: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(2)),
        metadata={
            "help": "how many of the latest features k-means sees; auto: 10,000, at most as many "
            "as there are images, at least as many as groups"
        },
    )
    kmeans_iterations: int = field(
        default=10, validator=ge(1), metadata={"help": "iterations of k-means"}
    )
    hidden_dim: int = field(
        default=2048, validator=ge(1), metadata={"help": "width of the heads' hidden layers"}
    )
    output_dim: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "width of the space in which views and groups are compared"},
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return two unequal views; local views may be added."""
        return evolve(
            byol_views(min_scale=0.2),
            color_jitter=ColorJitterArgs(
                prob=1.0, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
            ),
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
        )

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":
            # BYOL's (https://arxiv.org/abs/2006.07733, 300 epochs), whose networks these are.
            return LARSArgs(lr=0.3, reference_batch_size=256, weight_decay=1e-6)
        if name == "sgd":
            return SGDArgs(lr=0.06, reference_batch_size=256, weight_decay=1e-4)
        if name == "adamw":
            return AdamWArgs(
                lr=5e-4, lr_scale_method="sqrt", reference_batch_size=256, weight_decay=0.05
            )
        return super().default_optimizer(name)

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum, and what depends on the number of images."""
        groups, bank = self.num_groups, self.bank_size
        if groups == "auto":
            groups = auto_clusters(facts.dataset_size, 100)
        if bank == "auto":
            bank = max(groups, min(_BANK_SIZE, facts.dataset_size))
        return evolve(super().resolve(facts), num_groups=groups, bank_size=bank)
