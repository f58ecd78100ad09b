"""Settings of a run. Python signature, command line and docs are generated from these classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt, le, optional

from lightly_core.config.options.checks import devices, finite, not_empty, one_of, workers
from lightly_core.config.options.foreign import ForeignKey
from lightly_core.config.options.optim import OPTIMIZERS
from lightly_core.config.options.short_runs import SHORT_RUN_IMAGES

Precision = Literal[
    "auto",
    "32-true",
    "bf16-mixed",
    "16-mixed",
    "bf16-true",
    "16-true",
    "64-true",
]
#: Short forms of Lightning, by the value that each means.
PRECISION_SYNONYMS: dict[str | int, str] = {
    **{"bf16": "bf16-mixed", "16": "16-mixed", "32": "32-true", "64": "64-true"},
    **{16: "16-mixed", 32: "32-true", 64: "64-true"},
}


@define(frozen=True)
class PythonObject:
    """An object that can be passed from Python only: a module, a dataset, a strategy.

    Attributes:
        value: The object; it never leaves the process.
    """

    value: Any = field(eq=False, repr=False)
    name: str = field(init=False)

    @name.default
    def _describe(self) -> str:
        kind = type(self.value)
        return f"{kind.__module__}.{kind.__qualname__}"

    def __str__(self) -> str:
        return f"<{self.name} object>"


@define(frozen=True, kw_only=True)
class ActivationCheckpointArgs:
    """Recompute activations in the backward pass to save memory."""

    enabled: bool = field(
        default=False, metadata={"help": "on or off; results stay the same, each step is slower"}
    )
    every_n_blocks: int = field(
        default=1,
        validator=ge(1),
        metadata={"help": "transformer blocks that are recomputed together"},
    )


@define(frozen=True, kw_only=True)
class RunConfig:
    """All settings of `lightly run` and `lightly_core.pretrain`."""

    out: str = field(
        validator=not_empty,
        metadata={"help": "folder for checkpoints, logs and exported models"},
    )
    data: str | list[str] | PythonObject = field(
        validator=not_empty,
        metadata={
            "help": "folder, list of folders and files, glob, text file of paths, "
            "'builtin:digits', a data source such as 'wds:...', or (Python) a torch Dataset"
        },
    )
    model: str | PythonObject = field(
        validator=not_empty,
        metadata={"help": "'library/name', or (Python) a module or wrapper"},
    )
    val_data: str | list[str] | PythonObject | None = field(
        default=None,
        validator=optional(not_empty),
        metadata={
            "help": "labelled images, given as `data`; they are classified during training to show "
            "its progress, and never trained on"
        },
    )
    method: str = field(default="distillation", metadata={"help": "pretraining method"})
    method_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of the method"}
    )
    recipe: Literal["auto", "paper", "small"] = field(
        default="auto",
        metadata={
            "help": "defaults of method, optimizer and augmentation: paper, the published ones; "
            "small, those for short runs on few images; auto: small for runs that see fewer than "
            f"{SHORT_RUN_IMAGES:,} images, where the method has them"
        },
    )
    embed_dim: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "dimension of a linear layer added on top; None: no layer, the model's own "
            "dimension"
        },
    )
    epochs: int | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "passes over the data; auto: a first budget for few images, else from dataset, "
            "batch size and method; 0: only export the model"
        },
    )
    batch_size: int = field(
        default=128,
        validator=ge(1),
        metadata={"help": "images per forward pass, over all devices and nodes together"},
    )
    num_workers: int | Literal["auto"] = field(
        default="auto", validator=workers, metadata={"help": "loader processes per device"}
    )
    in_memory: bool | Literal["auto"] = field(
        default="auto",
        metadata={
            "help": "keep all decoded images in memory and create the views without loader "
            "processes; auto: if the images are small and of one size"
        },
    )
    devices: int | str | list[int] = field(
        default="auto",
        validator=devices,
        metadata={"help": "number of devices, or their indices: '0,1' or [0, 1]"},
    )
    num_nodes: int = field(default=1, validator=ge(1), metadata={"help": "number of machines"})
    resume_interrupted: bool = field(
        default=False, metadata={"help": "continue from checkpoints/last.ckpt in `out`"}
    )
    requeue: bool = field(
        default=False,
        metadata={
            "help": "SLURM: after SIGUSR1 or SIGTERM, save and requeue the job, which then resumes "
            "by itself"
        },
    )
    checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "weights to start from: .ckpt of a run, exported file or state dict",
            "file": True,
        },
    )
    overwrite: bool = field(
        default=False, metadata={"help": "remove the files that an earlier run wrote to `out`"}
    )
    accelerator: str | PythonObject = field(
        default="auto",
        validator=one_of("auto", "cpu", "gpu", "cuda", "mps"),
        metadata={"help": "'cpu', 'gpu', 'mps' or 'auto'"},
    )
    strategy: str | PythonObject = field(
        default="auto",
        metadata={
            "help": "Lightning's strategy for several devices, such as 'ddp', or 'fsdp2' to shard "
            "weights"
        },
    )
    process_timeout: float = field(
        default=1800.0,
        validator=and_(finite, gt(0)),
        metadata={
            "help": "seconds without progress after which a run of several processes ends with an "
            "error; raise it if a measurement on the first process takes longer"
        },
    )
    precision: Precision = field(
        default="auto",
        metadata={
            "help": "number format of training; also bf16, 16, 32 and 64, as in Lightning",
            "synonyms": PRECISION_SYNONYMS,
        },
    )
    float32_matmul_precision: Literal["auto", "highest", "high", "medium"] = field(
        default="auto", metadata={"help": "precision of float32 matrix products"}
    )
    compile: bool = field(
        default=False,
        metadata={"help": "compile the forward passes of the backbones with torch.compile"},
    )
    seed: int | None = field(
        default=0,
        metadata={"help": "seed of all random numbers; None: a new seed for each run"},
    )
    loggers: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of each logger; None switches one off"}
    )
    callbacks: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of each callback; None switches one off"}
    )
    optim: str = field(
        default="auto",
        validator=one_of("auto", *OPTIMIZERS),
        metadata={
            "help": f"optimizer: auto (the method's), {', '.join(OPTIMIZERS)}",
            "any_case": True,
        },
    )
    optim_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of optimizer and schedule"}
    )
    transform_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "options of the augmentation"}
    )
    loader_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "further arguments of torch's DataLoader"}
    )
    trainer_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "further arguments of Lightning's Trainer"}
    )
    model_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "arguments of the model's constructor"}
    )
    activation_checkpoint_args: ActivationCheckpointArgs | None = field(
        default=None,
        metadata={"help": "recomputes activations to save memory; None: off"},
    )
    gradient_accumulation_steps: int = field(
        default=1,
        validator=ge(1),
        metadata={"help": "batches per optimizer step, whose gradients are averaged"},
    )
    max_skipped: float = field(
        default=0.1,
        validator=and_(finite, ge(0), le(1)),
        metadata={"help": "fraction of unreadable images above which a run stops"},
    )
    profile: bool = field(
        default=False,
        metadata={
            "help": "print at the end what a step cost and what to change first, and write "
            "profile.json; also --profile"
        },
    )
    resume: bool | None = field(
        default=None, metadata={"help": "deprecated name of resume_interrupted"}
    )

    @seed.validator
    def _seed_in_range(self, attribute: object, value: int | None) -> None:
        # The range that NumPy and Lightning accept.
        if value is not None and not 0 <= value < 2**32:
            raise ValueError(f"'seed' must be in [0, 2**32 - 1] or None, got {value}")

    @epochs.validator
    def _epochs_not_negative(self, attribute: object, value: int | str) -> None:
        if isinstance(value, int) and value < 0:
            raise ValueError(f"'epochs' must be >= 0 or 'auto', got {value}")


# --------------------------------------------------------------------------- built-in loggers


@define(frozen=True, kw_only=True)
class JsonlArgs:
    """`metrics.jsonl`, one JSON object per line. It is always on."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        "flush_logs_every_n_steps": ForeignKey(
            "each record is written when it is logged; remove it. "
            "trainer_args.log_every_n_steps sets how often metrics are logged"
        )
    }


@define(frozen=True, kw_only=True)
class TensorBoardArgs:
    """TensorBoard event files."""

    FOREIGN_KEYS: ClassVar[Mapping[str, ForeignKey]] = {
        **dict.fromkeys(
            ("name", "version"),
            ForeignKey(
                "event files are in `out` itself; loggers.tensorboard.sub_dir=NAME puts them into "
                "a folder of it",
                neutral=(None, ""),
            ),
        ),
        "log_graph": ForeignKey(
            "no graph of the network is logged; `lightly export out=model.onnx` writes one for "
            "viewers",
            neutral=(False,),
        ),
        "default_hp_metric": ForeignKey(
            "no placeholder metric is logged; remove it", neutral=(False,)
        ),
    }

    sub_dir: str | None = field(
        default=None, metadata={"help": "folder below `out`; None: `out` itself"}
    )
    prefix: str = field(default="", metadata={"help": "prefix of every metric's name"})
