"""Options of MoCo v3 (Chen et al. 2021, https://arxiv.org/abs/2104.02057)."""

from __future__ import annotations

from typing import Literal

from attrs import define, evolve, field

from lightly_core.config.method import (
    MethodCard,
    Requires,
    TeacherConfig,
    byol_views,
    exactly,
    exported,
    hidden_dim,
    linear_lars,
    linear_sgd,
    num_layers,
    output_dim,
    paper_adamw,
    predictor_hidden_dim,
    temperature,
)


@define(frozen=True, kw_only=True)
class MoCoV3Config(TeacherConfig):
    """Options of MoCo v3. The defaults are the paper's for ResNet-50.

    For vision transformers the paper has ``temperature=0.2``, ``num_layers=3``,
    ``predictor_norm=true`` and ``freeze_patch_embed=true``, the optimizer ``adamw``, and crops of
    at least 0.08 of the image (``transform_args.random_resize.min_scale=0.08``).
    """

    shardable = True

    card = MethodCard(
        paper="Chen et al. 2021",
        arxiv="2104.02057",
        teacher="average",
        use="large batches; convolutional networks and transformers",
    )
    requires = Requires(global_views=exactly(2), images_per_process=2)
    metrics = ("contrast/top1",)
    views = byol_views(min_scale=0.2)
    optimizer = "lars"
    optimizers = {
        "lars": linear_lars(0.3),  # the paper's for 300 epochs and more; it has 0.6 for 100
        "sgd": linear_sgd(0.1),
        "adamw": paper_adamw(2.4e-3, 4096, weight_decay=0.1, warmup_epochs=40),
    }
    target_steps = 100_000  # 320 epochs of ImageNet at the paper's batch of 4096
    paper_momentum = 0.99

    temperature: float = temperature(
        1.0, "smaller weighs hard negatives more; the paper has 0.2 for transformers"
    )
    hidden_dim: int = hidden_dim(4096)
    output_dim: int = output_dim(256, "queries and keys")
    num_layers: int = num_layers(2, note="; the paper has 3 for transformers")
    predictor_hidden_dim: int = predictor_hidden_dim(4096)
    predictor_norm: bool = field(
        default=False,
        metadata={
            "help": "batch norm without scale and shift after the predictor, as the paper has it "
            "for transformers"
        },
    )
    freeze_patch_embed: bool = field(
        default=False,
        metadata={
            "help": "do not train the patch embedding of a transformer, which keeps training stable"
        },
    )
    export: Literal["teacher", "student"] = exported("student", ": the query encoder")

    def requirements(self) -> Requires:
        """Return a transformer where its patch embedding is frozen."""
        if not self.freeze_patch_embed:
            return self.requires
        return evolve(
            self.requires, capability="tokens", needed_by="method_args.freeze_patch_embed=true"
        )
