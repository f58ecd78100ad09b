"""Options of I-JEPA (Assran et al. 2023, https://arxiv.org/abs/2301.08243)."""

from __future__ import annotations

from attrs import define, field
from attrs.validators import and_, ge, gt, lt

from lightly_core.config.method import MethodCard, Requires, TeacherConfig, exactly, paper_adamw
from lightly_methods.masked.options import check_heads, crop_and_flip


@define(frozen=True, kw_only=True)
class IJEPAConfig(TeacherConfig):
    """Options of I-JEPA. The defaults are the paper's for ViT-B."""

    shardable = True

    card = MethodCard(
        paper="Assran et al. 2023",
        arxiv="2301.08243",
        teacher="average",
        use="frozen features without augmentation; very long runs",
    )
    requires = Requires(global_views=exactly(1), whole_patches=True)
    metrics = ()
    views = crop_and_flip(0.3, flip=0.0)  # crops are the only augmentation
    optimizers = {
        "adamw": paper_adamw(1e-3, 2048, weight_decay=0.04, weight_decay_end=0.4, warmup_epochs=40),
    }
    target_steps = 100_000  # 160 epochs of ImageNet at the paper's batch of 2048
    spread_is_free = True
    # A short run on the digits made features worse with 0.9, and slightly better with 0.99.
    least_momentum = 0.99

    num_targets: int = field(
        default=4, validator=ge(1), metadata={"help": "blocks that are predicted in an image"}
    )
    target_ratio: float = field(
        default=0.175,
        validator=and_(gt(0), lt(1)),
        metadata={"help": "size of a target block, as a fraction of the patches"},
    )
    context_ratio: float = field(
        default=0.25,
        validator=and_(gt(0), lt(1)),
        metadata={"help": "size of what the student sees, as a fraction of the patches"},
    )
    predictor_dim: int = field(
        default=384,
        validator=ge(4),
        metadata={"help": "dimension of the predictor, which is dropped after training"},
    )
    predictor_depth: int = field(
        default=6,
        validator=ge(1),
        metadata={"help": "blocks of the predictor; the paper has 12 for ViT-L and larger"},
    )
    predictor_num_heads: int = field(
        default=12, validator=ge(1), metadata={"help": "attention heads of the predictor"}
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a predictor whose dimension does not fit."""
        check_heads(
            "predictor_dim", self.predictor_dim, "predictor_num_heads", self.predictor_num_heads
        )
