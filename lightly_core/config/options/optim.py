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
    """What all optimizers share: the schedule is warm-up, then cosine, both per step.

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
        metadata={"help": "decay of weights; biases, norms and tokens are left out"},
    )
    weight_decay_end: float | None = field(
        default=None,
        validator=optional(and_(finite, ge(0))),
        metadata={"help": "decay in the last step, reached along a cosine; None: it stays"},
    )
    decayed: Decayed = field(
        default="method",
        metadata={
            "help": "what is decayed, and adapted by LARS: weights, without biases, norms and "
            "tokens; all; method: what its paper has, which is weights for most"
        },
    )
    lr_scale_method: LrScaling = field(
        default="linear",
        metadata={"help": "how lr follows the effective batch size"},
    )
    reference_batch_size: int = field(
        default=256,
        validator=ge(1),
        metadata={"help": "batch size for which lr is meant"},
    )
    warmup_epochs: float = field(
        default=10.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "epochs of linear warm-up"},
    )
    warmup_max_fraction: float = field(
        default=0.1,
        validator=and_(ge(0), le(1)),
        metadata={"help": "share of the run that the warm-up may take at most"},
    )
    final_lr_fraction: float = field(
        default=0.001,
        validator=and_(ge(0), le(1)),
        metadata={"help": "last learning rate as a share of the peak"},
    )


@define(frozen=True, kw_only=True)
class _MomentsArgs(OptimizerArgs):
    """What Adam and AdamW share."""

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
            "and tokens are left out"
        },
    )

    @classmethod
    def like(cls, other: AdamWArgs) -> AdamArgs:
        """Return Adam with learning rate, schedule and moments of AdamW, without its decay.

        The two decays do not mean the same: Adam divides its own by the size of the gradient.
        """
        names = {one.name for one in fields(cls)} - {"weight_decay", "weight_decay_end"}
        return cls(**{name: getattr(other, name) for name in names})


@define(frozen=True, kw_only=True)
class AdamWArgs(_MomentsArgs):
    """AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    weight_decay: float = field(
        default=0.01,
        validator=and_(finite, ge(0)),
        metadata={"help": "decoupled decay of weights; biases, norms and tokens are left out"},
    )


@define(frozen=True, kw_only=True)
class SGDArgs(OptimizerArgs):
    """Stochastic gradient descent with momentum."""

    weight_decay: float = field(
        default=1e-4,
        validator=and_(finite, ge(0)),
        metadata={"help": "decay of weights; biases, norms and tokens are left out"},
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
        metadata={"help": "decay of weights; biases, norms and tokens are left out"},
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
        metadata={"help": "trust ratio: length of a layer's step relative to its weights"},
    )
    eps: float = field(
        default=1e-8, validator=and_(finite, gt(0)), metadata={"help": "term in the denominator"}
    )
    clip: bool = field(
        default=False,
        metadata={"help": "never step further than plain SGD would (LARC's clipping)"},
    )


#: Names that ``optim`` takes, beside "auto".
OPTIMIZERS: dict[str, type[OptimizerArgs]] = {
    "adamw": AdamWArgs,
    "adam": AdamArgs,
    "sgd": SGDArgs,
    "lars": LARSArgs,
}
