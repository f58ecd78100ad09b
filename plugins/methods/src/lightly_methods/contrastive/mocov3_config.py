"""Options of MoCo v3 (Chen et al. 2021, https://arxiv.org/abs/2104.02057)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.checks import positive
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import AdamWArgs, OptimizerArgs
from lightly_core.config.requires import Requires, exactly
from lightly_core.config.teacher import TeacherConfig, exported
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.contrastive.options import linear_lars, linear_sgd


@define(frozen=True, kw_only=True)
class MoCoV3Config(TeacherConfig):
    """Options of MoCo v3; the defaults are the paper's for ResNet-50.

    For vision transformers the paper has ``temperature=0.2``, ``num_layers=3``,
    ``predictor_norm=true`` and ``freeze_patch_embed=true``, the optimizer ``adamw``, and crops from
    0.08 of the image on (``transform_args.random_resize.min_scale=0.08``).
    """

    metrics: ClassVar[tuple[str, ...] | None] = ("contrast/top1", "schedule/teacher_momentum")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Chen et al. 2021",
        arxiv="2104.02057",
        teacher="average",
        use="large batches; convolutional networks and transformers",
    )
    optimizer: ClassVar[str] = "lars"
    # 320 epochs of ImageNet at the paper's batch of 4096.
    target_steps: ClassVar[int] = 100_000
    requires: ClassVar[Requires] = Requires(global_views=exactly(2), images_per_process=2)
    paper_momentum: ClassVar[float] = 0.99

    temperature: float = field(
        default=1.0,
        validator=positive,
        metadata={
            "help": "softmax temperature; smaller weighs hard negatives more; the paper has 0.2 "
            "for transformers"
        },
    )
    hidden_dim: int = field(
        default=4096,
        validator=ge(1),
        metadata={"help": "width of the projector's hidden layers"},
    )
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "width of the space in which queries and keys are compared"},
    )
    num_layers: int = field(
        default=2,
        validator=ge(1),
        metadata={"help": "linear layers of the projector; the paper has 3 for transformers"},
    )
    predictor_hidden_dim: int = field(
        default=4096,
        validator=ge(1),
        metadata={"help": "width of the predictor's hidden layer"},
    )
    predictor_norm: bool = field(
        default=False,
        metadata={
            "help": "batch norm without scale and shift behind the predictor, as the paper has it "
            "for transformers"
        },
    )
    freeze_patch_embed: bool = field(
        default=False,
        metadata={
            "help": "leave the patch embedding as it is, for transformers: it keeps training stable"
        },
    )
    export: Literal["teacher", "student"] = exported("student", ": the query encoder")

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the two unequal views that the paper has for ResNet-50."""
        return byol_views(min_scale=0.2)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "lars":  # the paper's for 300 epochs and more; it has 0.6 for 100
            return linear_lars(0.3)
        if name == "sgd":
            return linear_sgd(0.1)
        if name == "adamw":
            # The paper's for transformers at batch 4096. It scales linearly, which would leave
            # small batches with next to nothing.
            return AdamWArgs(
                lr=2.4e-3,
                weight_decay=0.1,
                lr_scale_method="sqrt",
                reference_batch_size=4096,
                warmup_epochs=40,
            )
        return super().default_optimizer(name)
