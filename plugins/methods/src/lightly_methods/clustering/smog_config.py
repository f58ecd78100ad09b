"""Options of SMoG (Pang et al. 2022, https://arxiv.org/abs/2207.06167)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import define, evolve, field
from attrs.validators import ge

from lightly_core.config.method import (
    ColorJitterArgs,
    GaussianBlurArgs,
    MethodCard,
    Requires,
    RunFacts,
    TeacherConfig,
    at_least,
    auto_or,
    byol_views,
    exported,
    hidden_dim,
    linear_lars,
    linear_sgd,
    output_dim,
    temperature,
    transformer_adamw,
    zero_to_one,
)
from lightly_core.errors import ConfigError
from lightly_methods.clustering.clustering_config import auto_clusters

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing only since Python 3.11

_BANK_SIZE = 10_000


@define(frozen=True, kw_only=True)
class SMoGConfig(TeacherConfig):
    """Options of SMoG. The defaults are the paper's for two views."""

    shardable = True

    card = MethodCard(
        paper="Pang et al. 2022",
        arxiv="2207.06167",
        teacher="average",
        memory="groups, bank of features",
        use="contrast with groups of images instead of single ones",
    )
    requires = Requires(global_views=at_least(2), local_views=True, images_per_process=2)
    metrics = ("train_loss/cross_entropy", "groups/used")
    views = evolve(
        byol_views(min_scale=0.2),
        color_jitter=ColorJitterArgs(
            prob=1.0, strength=0.5, brightness=0.8, contrast=0.8, saturation=0.4, hue=0.2
        ),
        gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
    )
    optimizer = "lars"
    optimizers = {
        # BYOL's (https://arxiv.org/abs/2006.07733, 300 epochs), whose networks these are.
        "lars": linear_lars(0.3),
        "sgd": linear_sgd(0.06),
        "adamw": transformer_adamw(),
    }
    target_steps = 62_500  # 100 epochs of ImageNet at the paper's batch of 2048
    paper_momentum = 0.999

    momentum_end: float = field(
        default=0.999,
        validator=zero_to_one,
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
        validator=zero_to_one,
        metadata={"help": "momentum of the groups' average", "aliases": ("beta",)},
    )
    temperature: float = temperature(0.1, note="")
    reset_interval: int = field(
        default=300,
        validator=ge(0),
        metadata={
            "help": "steps after which k-means replaces the groups by clusters of the latest "
            "features; 0: never"
        },
    )
    bank_size: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(2)),
        metadata={
            "help": "number of latest features for k-means; auto: 10,000, at most as many as there "
            "are images, at least as many as groups"
        },
    )
    kmeans_iterations: int = field(
        default=10, validator=ge(1), metadata={"help": "iterations of k-means"}
    )
    hidden_dim: int = hidden_dim(2048, of="projector and predictor")
    output_dim: int = output_dim(128, compared="views and groups")

    def resolve(self, facts: RunFacts) -> Self:
        """Replace the momentum, and what depends on the number of images.

        Raises:
            ConfigError: There are more groups than features in the bank.
        """
        groups, bank = self.num_groups, self.bank_size
        if groups == "auto":
            groups = auto_clusters(facts.dataset_size, 100)
        if bank == "auto":
            bank = max(groups, min(_BANK_SIZE, facts.dataset_size))
        if int(bank) < groups:
            raise ConfigError(
                f"config.method_args.bank_size: got bank_size={bank} and num_groups={groups}, "
                "expected at least as many features as groups, which k-means finds among them; "
                "set a larger bank_size, or a smaller num_groups"
            )
        return evolve(super().resolve(facts), num_groups=groups, bank_size=bank)
