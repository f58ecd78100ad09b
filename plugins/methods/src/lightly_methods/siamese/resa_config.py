"""Options of ReSA (Weng et al. 2025, https://arxiv.org/abs/2501.18452)."""

from __future__ import annotations

from attrs import define, evolve, field

from lightly_core.config.method import (
    GaussianBlurArgs,
    GlobalView1Args,
    MethodCard,
    Requires,
    SGDArgs,
    SolarizeArgs,
    TeacherConfig,
    TransformArgs,
    byol_views,
    exactly,
    hidden_dim,
    num_layers,
    output_dim,
    paper_adamw,
    positive,
    sinkhorn_iterations,
    temperature,
)


def _weak_and_strong_view() -> TransformArgs:
    """Return a view that is only cropped and flipped, and a strongly augmented one."""
    views = byol_views(min_scale=0.2)
    return evolve(
        views,
        color_jitter=None,
        random_gray_scale=None,
        gaussian_blur=None,
        solarize=None,
        global_view_1=GlobalView1Args(
            color_jitter=views.color_jitter,
            random_gray_scale=views.random_gray_scale,
            gaussian_blur=GaussianBlurArgs(prob=0.5, sigmas=(0.1, 2.0)),
            solarize=SolarizeArgs(prob=0.2, threshold=0.5),
        ),
    )


@define(frozen=True, kw_only=True)
class ReSAConfig(TeacherConfig):
    """Options of ReSA. The defaults are the paper's for ResNet-50 and batches of 256."""

    shardable = True

    card = MethodCard(
        paper="Weng et al. 2025",
        arxiv="2501.18452",
        teacher="average",
        use="few epochs on one GPU; good neighbours",
    )
    requires = Requires(global_views=exactly(2), local_views=True, images_per_process=2)
    metrics = ("assignment/own", "projection/std")
    views = _weak_and_strong_view()
    optimizer = "sgd"
    optimizers = {
        "sgd": SGDArgs(lr=0.5, momentum=0.9, weight_decay=1e-5, warmup_epochs=2.0),
        # The paper's for ViT-S and 300 epochs.
        "adamw": paper_adamw(2e-3, 1024, weight_decay=0.1, warmup_epochs=40.0),
    }
    # 25 epochs of ImageNet at the paper's batch of 256. The paper trains for 100 and more.
    target_steps = 125_000

    temperature: float = temperature(0.4, note="it divides the cosines of projections")
    sinkhorn_temperature: float = field(
        default=0.05,
        validator=positive,
        metadata={"help": "temperature of the features' cosines in the targets; larger is softer"},
    )
    sinkhorn_iterations: int = sinkhorn_iterations(3)
    num_layers: int = num_layers(3)
    hidden_dim: int = hidden_dim(2048, of="projector and predictor")
    output_dim: int = output_dim(512, compared="projections")
    predictor: bool = field(
        default=True,
        metadata={"help": "predict the teacher's projections; the paper has none for CIFAR"},
    )
