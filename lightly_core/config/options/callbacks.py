"""Options of the callbacks of a run, which run during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt, le, optional

from lightly_core.config.options.checks import auto_or, epochs_between, finite
from lightly_core.config.options.foreign import ForeignKey


@define(frozen=True, kw_only=True)
class ModelCheckpointArgs:
    """When `checkpoints/` is written. The last state is always kept as `last.ckpt`."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "dirpath": ForeignKey(
            "checkpoints are in the folder `checkpoints` of `out`; set out", neutral=(None,)
        ),
        "filename": ForeignKey(
            "checkpoints are named last.ckpt and epoch=E-step=S.ckpt; copy one to rename it",
            neutral=(None,),
        ),
        "verbose": ForeignKey("train.log names every checkpoint; remove it", neutral=(False,)),
        "save_last": ForeignKey(
            "last.ckpt is always written, since a stopped run continues from it; save_top_k sets "
            "how many others are kept",
            neutral=(True, None),
        ),
        "auto_insert_metric_name": ForeignKey(
            "checkpoints are named epoch=E-step=S.ckpt; remove it", neutral=(True,)
        ),
        "enable_version_counter": ForeignKey(
            "files of an earlier run are never mixed with those of a new one; remove it",
            neutral=(False,),
        ),
        "train_time_interval": ForeignKey(
            "set every_n_train_steps for checkpoints within an epoch, and min_seconds_between for "
            "the least time between those at the end of epochs",
            neutral=(None,),
        ),
        "save_on_train_epoch_end": ForeignKey(
            "checkpoints by epoch are written at its end; every_n_train_steps writes others",
            neutral=(True, None),
        ),
    }

    every_n_epochs: int = field(
        default=1, validator=ge(1), metadata={"help": "epochs between checkpoints"}
    )
    every_n_train_steps: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "steps between checkpoints, in addition to those by epoch"},
    )
    min_seconds_between: float = field(
        default=30.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "least seconds between two checkpoints at the end of an epoch"},
    )
    save_top_k: int = field(
        default=1,
        validator=ge(-1),
        metadata={"help": "how many epoch=E-step=S.ckpt are kept; -1: all; 0: only last.ckpt"},
    )
    monitor: str | None = field(
        default=None,
        metadata={
            "help": "metric that ranks checkpoints and decides what exported_best is, such as "
            "knn/top1; None: the newest checkpoints, and no exported_best"
        },
    )
    mode: Literal["auto", "min", "max"] = field(
        default="auto",
        metadata={
            "help": "whether a small or a large `monitor` is better; auto: large for accuracies, "
            "agreements and ranks, small for all others"
        },
    )
    save_weights_only: bool = field(
        default=False,
        metadata={"help": "save without the optimizer; a run cannot be resumed from such a file"},
    )
    in_background: bool = field(
        default=True,
        metadata={
            "help": "train on while a copy in main memory, as large as the checkpoint, is written; "
            "False: wait, without a copy"
        },
    )


@define(frozen=True, kw_only=True)
class ModelExportArgs:
    """When `exported_models/` is written. It is always written at the end."""

    every_n_epochs: int = field(
        default=1, validator=ge(1), metadata={"help": "epochs between exports"}
    )
    min_seconds_between: float = field(
        default=30.0,
        validator=and_(finite, ge(0)),
        metadata={"help": "least seconds between two exports at the end of an epoch"},
    )


@define(frozen=True, kw_only=True)
class EarlyStoppingArgs:
    """When to stop before the last epoch."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "verbose": ForeignKey("the log says why a run stopped; remove it", neutral=(False, True)),
        "strict": ForeignKey(
            "a metric that the run does not have is refused before it starts; remove it",
            neutral=(True,),
        ),
        "check_on_train_epoch_end": ForeignKey(
            "the metric is compared at the end of each epoch; remove it", neutral=(True, None)
        ),
        **dict.fromkeys(
            ("stopping_threshold", "divergence_threshold"),
            ForeignKey(
                "pass Lightning's EarlyStopping in trainer_args.callbacks, from Python",
                neutral=(None,),
            ),
        ),
    }

    monitor: str = field(default="train_loss", metadata={"help": "metric to watch"})
    mode: Literal["auto", "min", "max"] = field(
        default="auto",
        metadata={
            "help": "whether a small or a large `monitor` is better; auto: as in model_checkpoint"
        },
    )
    patience: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={"help": "epochs without improvement before stopping; None: never"},
    )
    min_delta: float = field(
        default=0.0, validator=and_(finite, ge(0)), metadata={"help": "least improvement"}
    )
    check_finite: bool = field(
        default=True,
        metadata={"help": "stop with an error when a loss or a gradient is nan or infinite"},
    )


@define(frozen=True, kw_only=True)
class NonFiniteArgs:
    """What happens in steps whose loss or gradient is nan or infinite."""

    max_skipped: int = field(
        default=0,
        validator=ge(0),
        metadata={
            "help": "most steps with such a gradient that are skipped in a run before it stops; "
            "above 0 every step waits for the device"
        },
    )


@define(frozen=True, kw_only=True)
class LearningRateMonitorArgs:
    """Log `lr`."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "logging_interval": ForeignKey(
            "it is logged with the other metrics, every trainer_args.log_every_n_steps",
            neutral=(None, "step"),
        ),
        **dict.fromkeys(
            ("log_momentum", "log_weight_decay"),
            ForeignKey("only the learning rate is logged; remove it", neutral=(False,)),
        ),
    }


@define(frozen=True, kw_only=True)
class DeviceStatsMonitorArgs:
    """Log memory of the process and of the device."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "cpu_stats": ForeignKey(
            "memory of the process is always logged; remove it", neutral=(None, True)
        )
    }


@define(frozen=True, kw_only=True)
class KnnArgs:
    """Nearest-neighbour accuracy of the frozen features, where the images have labels."""

    k: int = field(default=20, validator=ge(1), metadata={"help": "neighbours"})
    temperature: float = field(
        default=0.07,
        validator=and_(finite, gt(0)),
        metadata={"help": "a neighbour weighs exp(cosine / temperature)"},
    )
    max_images: int = field(
        default=10_000,
        validator=ge(10),
        metadata={"help": "most images that are used, the same fraction of each class"},
    )
    query_fraction: float = field(
        default=0.2,
        validator=and_(gt(0.0), le(0.5)),
        metadata={"help": "without val_data: fraction of them that is classified by the others"},
    )
    every_n_epochs: int | Literal["auto"] | None = field(
        default="auto",
        validator=epochs_between,
        metadata={
            "help": "epochs between measurements; None: before and after training only; auto: as "
            "often as `budget` allows with val_data, None without"
        },
    )
    budget: float = field(
        default=0.03,
        validator=and_(finite, gt(0)),
        metadata={"help": "fraction of the training time that every_n_epochs=auto may cost"},
    )


@define(frozen=True, kw_only=True)
class LinearArgs:
    """Accuracy of a linear classifier on the frozen features of the kNN. It needs val_data."""

    penalty: float = field(
        default=1e-3,
        validator=and_(finite, gt(0)),
        metadata={"help": "weight of the squared norm of the classifier's weights"},
    )


@define(frozen=True, kw_only=True)
class SignalsArgs:
    """Signals about the features without labels: dispersion and rank, and whether they collapse."""

    num_images: int | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "images that are measured, at most 256 MiB of them; auto: 512, or fewer if "
            "training is so short that two measurements exceed `budget`"
        },
    )
    every_n_epochs: int | Literal["auto"] = field(
        default="auto",
        validator=epochs_between,
        metadata={"help": "epochs between measurements; auto: as often as `budget` allows"},
    )
    budget: float = field(
        default=0.02,
        validator=and_(finite, gt(0)),
        metadata={"help": "fraction of the training time that every_n_epochs=auto may cost"},
    )

    @num_images.validator
    def _enough_images(self, attribute: object, value: int | str) -> None:
        if isinstance(value, int) and value < 32:
            raise ValueError(f"'num_images' must be >= 32 or 'auto', got {value}")


@define(frozen=True, kw_only=True)
class ReportArgs:
    """What `report.html` contains, which is written at the end of a run."""

    num_images: int | Literal["auto"] = field(
        default="auto",
        validator=auto_or(ge(0)),
        metadata={
            "help": "images of the maps and neighbours; 0: none; auto: 300, or fewer if training "
            "is so short that their features before and after it exceed `budget`"
        },
    )
    budget: float = field(
        default=0.01,
        validator=and_(finite, gt(0)),
        metadata={"help": "fraction of the training time that num_images=auto may cost"},
    )
    umap: bool = field(
        default=False,
        metadata={
            "help": "maps by UMAP too, if umap-learn is installed; takes up to a minute; "
            "`lightly report` always shows them then"
        },
    )


@define(frozen=True, kw_only=True)
class CallbacksArgs:
    """Callbacks of a run. None switches one off."""

    model_checkpoint: ModelCheckpointArgs | None = field(
        default=ModelCheckpointArgs(), metadata={"help": "checkpoints"}
    )
    model_export: ModelExportArgs | None = field(
        default=ModelExportArgs(), metadata={"help": "exported models"}
    )
    early_stopping: EarlyStoppingArgs | None = field(
        default=EarlyStoppingArgs(), metadata={"help": "stopping early"}
    )
    non_finite: NonFiniteArgs | None = field(
        default=NonFiniteArgs(), metadata={"help": "steps whose loss or gradient is not finite"}
    )
    learning_rate_monitor: LearningRateMonitorArgs | None = field(
        default=LearningRateMonitorArgs(), metadata={"help": "learning rate in the metrics"}
    )
    device_stats_monitor: DeviceStatsMonitorArgs | None = field(
        default=None, metadata={"help": "memory in the metrics"}
    )
    signals: SignalsArgs | None = field(
        default=SignalsArgs(), metadata={"help": "dispersion and rank of the features"}
    )
    knn: KnnArgs | None = field(
        default=KnnArgs(),
        metadata={"help": "kNN accuracy before and after training; with val_data also during it"},
    )
    linear: LinearArgs | None = field(
        default=LinearArgs(),
        metadata={"help": "linear classifier on the features of the kNN, with val_data"},
    )
    report: ReportArgs | None = field(
        default=ReportArgs(), metadata={"help": "report.html at the end"}
    )
