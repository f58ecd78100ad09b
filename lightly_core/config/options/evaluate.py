"""Settings of `lightly evaluate`: one class for each protocol."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import define, field, fields
from attrs.validators import and_, ge, gt, le, lt, optional

from lightly_core.config.options.backbone import BackboneConfig
from lightly_core.config.options.checks import finite, finite_numbers, not_empty
from lightly_core.config.options.settings import PythonObject

#: Fraction of the labelled images that is classified if there is no `val_data`.
VAL_FRACTION = 0.2


@define(frozen=True, kw_only=True)
class _Searching:
    """How the nearest images are found."""

    search: Literal["exact", "faiss"] = field(
        default="exact",
        metadata={
            "help": "exact: each image is compared with all; faiss: with those of the nearest "
            "clusters, for millions of images, and the fraction of neighbours found is measured"
        },
    )
    nprobe: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "faiss: clusters searched for each image, more find more neighbours and take "
            "longer; None: a 32nd of them, but at least 16"
        },
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a setting that would be ignored."""
        if self.search == "exact" and self.nprobe is not None:
            raise ValueError("nprobe belongs to search='faiss', remove it or set search='faiss'")


@define(frozen=True, kw_only=True)
class KnnProtocol(_Searching):
    """Weighted nearest neighbours (Wu et al. 2018, https://arxiv.org/abs/1805.01978).

    Attributes:
        version: Raised when the same settings would give other results, as in all protocols.
    """

    version: ClassVar[int] = 1

    k: int | tuple[int, ...] = field(
        default=(20, 200), metadata={"help": "neighbours; several numbers give a result each"}
    )
    temperature: float = field(
        default=0.07,
        validator=and_(finite, gt(0)),
        metadata={"help": "a neighbour weighs exp(cosine / temperature)"},
    )

    @k.validator
    def _positive(self, attribute: object, value: int | tuple[int, ...]) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or min(numbers) < 1:
            raise ValueError(f"'k' must be numbers >= 1, got {value}")


@define(frozen=True, kw_only=True)
class LinearProtocol:
    """A linear classifier on the frozen network."""

    version: ClassVar[int] = 1

    solver: Literal["lbfgs", "sgd"] = field(
        default="lbfgs",
        metadata={
            "help": "lbfgs: exact, on features that are computed once; sgd: the protocol of the "
            "published tables"
        },
    )
    penalties: tuple[float, ...] | None = field(
        default=None,
        validator=optional(finite_numbers),
        metadata={
            "help": "lbfgs: L2 penalties, of which the best on held-out training images is used; "
            "None: seven between 1e-6 and 1"
        },
    )
    augment: bool = field(
        default=False,
        metadata={
            "help": "sgd: random crops and flips, with features computed in every epoch, as in the "
            "published tables; false: features are computed once"
        },
    )
    epochs: int = field(default=90, validator=ge(1), metadata={"help": "sgd: passes over the data"})
    batch_size: int = field(default=256, validator=ge(1), metadata={"help": "sgd: images per step"})
    lr: float | tuple[float, ...] = field(
        default=0.1,
        metadata={
            "help": "sgd: learning rate at batch size 256, scaled linearly; of several, the best "
            "on held-out training images is used"
        },
    )
    momentum: float = field(
        default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "sgd: momentum"}
    )
    weight_decay: float = field(
        default=0.0, validator=and_(finite, ge(0)), metadata={"help": "sgd: weight decay"}
    )
    batch_norm: bool = field(
        default=False,
        metadata={
            "help": "sgd: batch norm without affine parameters before the classifier; usual for "
            "ViTs"
        },
    )
    min_scale: float = field(
        default=0.08,
        validator=and_(gt(0), le(1)),
        metadata={"help": "augment: smallest area of a random crop, as a fraction of the image"},
    )

    @penalties.validator
    def _penalties_positive(self, attribute: object, value: tuple[float, ...] | None) -> None:
        if value is not None and not (value and min(value) > 0):
            raise ValueError(f"'penalties' must be numbers > 0, got {value}")

    @lr.validator
    def _rates_positive(self, attribute: object, value: float | tuple[float, ...]) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(0 < number < float("inf") for number in numbers):
            raise ValueError(f"'lr' must be numbers > 0, got {value}")

    def __attrs_post_init__(self) -> None:
        """Refuse settings of the other solver, which would be ignored."""
        others: tuple[str, ...] = ("penalties",) if self.solver == "sgd" else _OF_SGD
        if not self.augment:
            others += ("min_scale",)
        changed = [
            name
            for name in others
            if getattr(self, name) != getattr(fields(type(self)), name).default
        ]
        if changed:
            now = f"solver='{self.solver}'" + (" without augment" if self.solver == "sgd" else "")
            raise ValueError(
                f"{' and '.join(changed)} would be ignored with {now}; set solver='sgd' for all of "
                f"{', '.join(_OF_SGD)} (min_scale also needs augment), solver='lbfgs' for penalties"
            )


#: Settings of the solver "sgd" only.
_OF_SGD = ("augment", "epochs", "batch_size", "lr", "momentum", "weight_decay", "batch_norm")


@define(frozen=True, kw_only=True)
class FinetuneProtocol:
    """The whole network trained with labels."""

    version: ClassVar[int] = 1

    optim: Literal["sgd", "adamw"] = field(
        default="sgd", metadata={"help": "optimizer; sgd is usual for ResNets, adamw for ViTs"}
    )
    epochs: int = field(default=30, validator=ge(1), metadata={"help": "passes over the data"})
    batch_size: int = field(default=256, validator=ge(1), metadata={"help": "images per step"})
    lr: float | None = field(
        default=None,
        validator=optional(and_(finite, gt(0))),
        metadata={
            "help": "learning rate at batch size 256, scaled linearly; None: 0.05 (sgd), 5e-4 "
            "(adamw)"
        },
    )
    momentum: float = field(
        default=0.9, validator=and_(ge(0), lt(1)), metadata={"help": "momentum of sgd"}
    )
    weight_decay: float | None = field(
        default=None,
        validator=optional(and_(finite, ge(0))),
        metadata={"help": "weight decay; None: 0 (sgd), 0.05 (adamw)"},
    )
    warmup_epochs: float = field(
        default=0.0, validator=and_(finite, ge(0)), metadata={"help": "epochs of linear warm-up"}
    )
    layer_decay: float = field(
        default=1.0,
        validator=and_(gt(0), le(1)),
        metadata={"help": "factor on the learning rate for each layer further from the head"},
    )
    label_smoothing: float = field(
        default=0.0,
        validator=and_(ge(0), lt(1)),
        metadata={"help": "label smoothing of the cross-entropy"},
    )
    min_scale: float = field(
        default=0.08,
        validator=and_(gt(0), le(1)),
        metadata={"help": "smallest area of a random crop, as a fraction of the image"},
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a setting that would be ignored."""
        if self.optim == "adamw" and self.momentum != fields(type(self)).momentum.default:
            raise ValueError("momentum belongs to optim='sgd', remove it or set optim='sgd'")


@define(frozen=True, kw_only=True)
class RetrievalProtocol(_Searching):
    """Search for images of the same class by cosine similarity."""

    version: ClassVar[int] = 1

    k: tuple[int, ...] = field(
        default=(1, 5, 10), metadata={"help": "recall and precision among the first k images"}
    )

    @k.validator
    def _positive(self, attribute: object, value: tuple[int, ...]) -> None:
        if not value or min(value) < 1:
            raise ValueError(f"'k' must be numbers >= 1, got {value}")


@define(frozen=True, kw_only=True)
class EvaluateConfig(BackboneConfig):
    """All settings of `lightly evaluate` and `lightly_core.evaluate`."""

    data: str | list[str] | PythonObject = field(
        validator=not_empty,
        metadata={"help": "labelled images to train classifiers on, as for `lightly run`"},
    )
    val_data: str | list[str] | PythonObject | None = field(
        default=None,
        metadata={"help": "labelled images to classify; None: a fifth of `data` is held out"},
    )
    labels: str | None = field(
        default=None,
        metadata={
            "help": "CSV with the columns image and label; None: class folders, or the labels of "
            "the dataset"
        },
    )
    val_labels: str | None = field(
        default=None, metadata={"help": "the same for `val_data`; None: `labels`"}
    )
    out: str | None = field(
        default=None, metadata={"help": "JSON file for the results; None: they are only shown"}
    )
    knn: KnnProtocol | None = field(default=KnnProtocol(), metadata={"help": "nearest neighbours"})
    linear: LinearProtocol | None = field(
        default=LinearProtocol(), metadata={"help": "linear classifier"}
    )
    finetune: FinetuneProtocol | None = field(
        default=None, metadata={"help": "training of the whole network"}
    )
    retrieval: RetrievalProtocol | None = field(default=None, metadata={"help": "image retrieval"})
    overwrite: bool = field(default=False, metadata={"help": "replace `out` if it exists"})

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that are on, in the order in which they run."""
        names = ("knn", "linear", "retrieval", "finetune")
        return tuple(name for name in names if getattr(self, name) is not None)
