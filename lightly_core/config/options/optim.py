"""Options of the optimizers and of the learning-rate schedule."""

from __future__ import annotations

from typing import Literal

from attrs import define, field, fields
from attrs.validators import and_, ge, gt, le, lt, optional

from lightly_core.config.options.checks import finite

LrScaling = Literal["linear", "sqrt", "none"]
Decayed = Literal["method", "weights", "all"]


@define(frozen=True, kw_only=True)
class OptimizerArgs:
    """Options of all optimizers. The schedule is a linear warm-up, then a cosine, both per step.

    The peak learning rate is ``lr`` times ``effective batch / reference_batch_size`` (linear),
    its square root (sqrt), or ``lr`` itself (none).
    """

    lr: float = field(
        default=1e-3,
        validator=and_(finite, gt(0)),
        metadata={"help": "learning rate at the reference batch size"},
    )
    weight_decay: float = field(
        default=0.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "decay of weights; biases, norms and tokens are not decayed"},
    )
    weight_decay_end: float | None = field(
        default=None,
        validator=optional(and_(finite, ge(0))),
        metadata={"help": "decay in the last step, reached along a cosine; None: constant decay"},
    )
    decayed: Decayed = field(
        default="method",
        metadata={
            "help": "parameters that are decayed, and adapted by LARS; weights: without biases, "
            "norms and tokens; all: every parameter; method: as in the paper, which is weights for "
            "most methods"
        },
    )
    lr_scale_method: LrScaling = field(
        default="linear",
        metadata={"help": "how lr is scaled with the effective batch size"},
    )
    reference_batch_size: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "effective batch size at which the peak learning rate is lr"},
    )
    warmup_epochs: float = field(
        default=10.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "epochs of linear warm-up"},
    )
    warmup_max_fraction: float = field(
        default=0.1,
        validator=and_(ge(0), le(1)),
        metadata={"help": "largest fraction of the run that the warm-up may take"},
    )
    final_lr_fraction: float = field(
        default=0.001,
        validator=and_(ge(0), le(1)),
        metadata={"help": "last learning rate as a fraction of the peak"},
    )


@define(frozen=True, kw_only=True)
class _MomentsArgs(OptimizerArgs):
    """Options of both Adam and AdamW."""

    betas: tuple[float, float] = field(
        default=(0.9, 0.999),
        metadata={"help": "decay rates of the two moment estimates"},
    )
    eps: float = field(
        default=1e-8, validator=and_(finite, gt(0)), metadata={"help": "term in the denominator"}
    )

    @betas.validator
    def _betas_in_range(self, attribute: object, value: tuple[float, float]) -> None:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"'betas' must be two numbers in [0, 1), got {value}")


@define(frozen=True, kw_only=True)
class AdamArgs(_MomentsArgs):
    """Adam (Kingma & Ba 2014, https://arxiv.org/abs/1412.6980)."""

    weight_decay: float = field(
        default=0.0,
        validator=and_(finite, ge(0)),
        metadata={
            "help": "decay of weights, added to the gradient before it is scaled; biases, norms "
            "and tokens are not decayed"
        },
    )

    @classmethod
    def like(cls, other: AdamWArgs) -> AdamArgs:
        """Return Adam with the learning rate, schedule and moments of AdamW, without its decay.

        The two decays differ: Adam adds its decay to the gradient, and so scales it as well.
        """
        names = {one.name for one in fields(cls)} - {"weight_decay", "weight_decay_end"}
        return cls(**{name: getattr(other, name) for name in names})


@define(frozen=True, kw_only=True)
class AdamWArgs(_MomentsArgs):
    """AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    weight_decay: float = field(
        default=0.01,
        validator=and_(finite, ge(0)),
        metadata={"help": "decoupled decay of weights; biases, norms and tokens are not decayed"},
    )


@define(frozen=True, kw_only=True)
class SGDArgs(OptimizerArgs):
    """Stochastic gradient descent with momentum."""

    weight_decay: float = field(
        default=1e-4,
        validator=and_(finite, ge(0)),
        metadata={"help": "decay of weights; biases, norms and tokens are not decayed"},
    )
    momentum: float = field(
        default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum"}
    )
    nesterov: bool = field(default=False, metadata={"help": "use Nesterov's form of momentum"})


@define(frozen=True, kw_only=True)
class LARSArgs(OptimizerArgs):
    """LARS (You et al. 2017, https://arxiv.org/abs/1708.03888)."""

    lr: float = field(
        default=0.3,
        validator=and_(finite, gt(0)),
        metadata={"help": "learning rate at the reference batch size"},
    )
    weight_decay: float = field(
        default=1e-6,
        validator=and_(finite, ge(0)),
        metadata={"help": "decay of weights; biases, norms and tokens are not decayed"},
    )
    momentum: float = field(
        default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum"}
    )
    dampening: float = field(
        default=0.0, validator=and_(ge(0), le(1)), metadata={"help": "dampening of momentum"}
    )
    nesterov: bool = field(default=False, metadata={"help": "use Nesterov's form of momentum"})
    trust_coefficient: float = field(
        default=0.001,
        validator=and_(finite, gt(0)),
        metadata={"help": "norm of a layer's step relative to the norm of its weights"},
    )
    eps: float = field(
        default=1e-8, validator=and_(finite, gt(0)), metadata={"help": "term in the denominator"}
    )
    clip: bool = field(
        default=False,
        metadata={"help": "limit each step to that of plain SGD (LARC's clipping)"},
    )


#: Option classes by the value of ``optim``, without "auto".
OPTIMIZERS: dict[str, type[OptimizerArgs]] = {
    "adamw": AdamWArgs,
    "adam": AdamArgs,
    "sgd": SGDArgs,
    "lars": LARSArgs,
}
