"""Options of VISReg (Wu et al. 2026, https://arxiv.org/abs/2606.02572)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge

from lightly_core.config.checks import not_negative, share
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs
from lightly_core.config.recipes import paper_adamw
from lightly_core.config.transform import TransformArgs
from lightly_methods.decorrelation.lejepa_config import LeJEPAConfig, equal_views


@define(frozen=True, kw_only=True)
class VISRegConfig(LeJEPAConfig):
    """Options of VISReg; the defaults are the paper's for ImageNet."""

    metrics: ClassVar[tuple[str, ...] | None] = (
        "train_loss/prediction",
        "train_loss/scale",
        "train_loss/shape",
        "train_loss/centre",
    )
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Wu et al. 2026",
        arxiv="2606.02572",
        use="as lejepa, with stronger gradients where embeddings collapse; long-tailed images",
    )
    gradient_clip_val: ClassVar[float | None] = 1.0

    regularization_weight: float = field(
        default=0.9,
        validator=share,
        metadata={
            "help": "weight of what spreads the images; the rest to 1 is the weight of views of an "
            "image being alike; the paper has 0.6 for small data",
            "aliases": ("lambda_param",),
        },
    )
    scale_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of standard deviations being 1, in the spread"},
    )
    shape_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of embeddings being normal; more for long-tailed images"},
    )
    centre_weight: float = field(
        default=1.0,
        validator=not_negative,
        metadata={"help": "weight of means being 0, in the spread", "aliases": ("center_weight",)},
    )
    num_slices: int = field(
        default=4096,
        validator=ge(1),
        metadata={"help": "random directions along which embeddings are sorted in a step"},
    )
    output_dim: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "width of the space in which views are compared"},
    )
    activation: Literal["relu", "gelu"] = field(
        default="gelu", metadata={"help": "what follows the projector's batch norms"}
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return four large and six small views."""
        return equal_views(num_global=4)

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "adamw":
            # The published command has 16 images on each of 8 GPUs.
            return paper_adamw(9e-4, 128, weight_decay=0.05, warmup_epochs=5)
        return super().default_optimizer(name)
