"""Options of INTL (Weng et al. 2024, https://arxiv.org/abs/2305.16789)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import ge, optional

from lightly_core.config.checks import not_negative
from lightly_core.config.method import MethodCard
from lightly_core.config.optim import OptimizerArgs, SGDArgs
from lightly_core.config.requires import Requires, at_least
from lightly_core.config.transform import TransformArgs
from lightly_core.config.view_presets import byol_views
from lightly_methods.decorrelation.joint_config import JointConfig, hidden_width, output_width


@define(frozen=True, kw_only=True)
class INTLConfig(JointConfig):
    """Options of INTL; the defaults are the authors' for ResNet-50."""

    metrics: ClassVar[tuple[str, ...] | None] = ("train_loss/distance", "train_loss/trace")
    card: ClassVar[MethodCard | None] = MethodCard(
        paper="Weng et al. 2024",
        arxiv="2305.16789",
        use="batches of 256 and less, with one network and plain SGD",
    )
    optimizer: ClassVar[str] = "sgd"
    # 25 epochs of ImageNet at the authors' batch of 256; they train for 100 and more.
    target_steps: ClassVar[int] = 125_000
    requires: ClassVar[Requires] = Requires(
        global_views=at_least(2), local_views=True, images_per_process=2
    )

    hidden_dim: int = hidden_width(8192)
    output_dim: int = output_width(8192)
    whitening: Literal["images", "channels"] = field(
        default="images",
        metadata={
            "help": "what is made uncorrelated: the images of a batch, for which output_dim is to "
            "be above the batch, as in the authors' code; or the channels, the other way around"
        },
    )
    num_iterations: int = field(
        default=4,
        validator=ge(1),
        metadata={"help": "Newton's iterations of the whitening", "aliases": ("iters",)},
    )
    trace_weight: float | None = field(
        default=None,
        validator=optional(not_negative),
        metadata={
            "help": "weight of the term that evens out the spectrum; None: the paper's "
            "0.01 * (log2(n) - 3), n the images of a batch or the channels"
        },
    )

    @classmethod
    def default_transform(cls) -> TransformArgs:
        """Return the views of BYOL."""
        return byol_views()

    @classmethod
    def default_optimizer(cls, name: str) -> OptimizerArgs:
        """Return learning rate and decay for the optimizer called `name`."""
        if name == "sgd":
            return SGDArgs(
                lr=0.5,
                momentum=0.9,
                weight_decay=1e-5,
                lr_scale_method="linear",
                reference_batch_size=256,
                warmup_epochs=2,
            )
        return super().default_optimizer(name)
