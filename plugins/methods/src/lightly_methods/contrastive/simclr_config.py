"""Options of SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

from __future__ import annotations

from attrs import define, evolve, field

from lightly_core.config.method import (
    MethodCard,
    MethodConfig,
    Requires,
    SmallRecipe,
    exactly,
    hidden_dim,
    linear_lars,
    linear_sgd,
    num_layers,
    output_dim,
    simclr_views,
    temperature,
    transformer_adamw,
)


@define(frozen=True, kw_only=True)
class SimCLRConfig(MethodConfig):
    """Options of SimCLR. The defaults suit photographs and batches of a few hundred."""

    shardable = True

    card = MethodCard(
        paper="Chen et al. 2020",
        arxiv="2002.05709",
        use="no teacher is wanted; large batches",
    )
    requires = Requires(global_views=exactly(2), images=2)
    metrics = ("contrast/top1",)
    views = simclr_views()
    optimizer = "sgd"
    optimizers = {
        "sgd": linear_sgd(0.3),
        "lars": linear_lars(0.3),  # the paper's
        "adamw": transformer_adamw(),
    }
    # 320 epochs of the paper's ImageNet run (batch 4096); its accuracy rises little after that.
    target_steps = 100_000
    small = SmallRecipe(method_args={"temperature": 0.2, "hidden_dim": 512})

    temperature: float = temperature(0.1)
    hidden_dim: int = hidden_dim(2048)
    output_dim: int = output_dim(128)
    num_layers: int = num_layers(2)
    batch_norm: bool = field(
        default=True,
        metadata={"help": "batch norm after each of the projector's layers, the last included"},
    )
    # The authors' model_fn concatenates the views.
    views_together: bool = field(
        default=True,
        metadata={
            "help": "run both views in one pass, so that batch norms see them as one batch, as in "
            "the authors' code; false: one pass for each view, as in Lightly SSL"
        },
    )

    def requirements(self) -> Requires:
        """Return two images per process if the projector has batch norms."""
        return evolve(self.requires, images_per_process=2 if self.batch_norm else 1)
