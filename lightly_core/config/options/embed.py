"""Settings of `lightly embed`."""

from __future__ import annotations

from typing import Literal

from attrs import define, field
from attrs.validators import ge, optional

from lightly_core.config.options.backbone import BackboneConfig
from lightly_core.config.options.checks import not_empty, probability
from lightly_core.config.options.settings import PythonObject


@define(frozen=True, kw_only=True)
class EmbedConfig(BackboneConfig):
    """All settings of `lightly embed` and `lightly_core.embed`."""

    model: str | PythonObject | None = field(  # type: ignore[assignment]
        default=None,
        metadata={
            "help": "run folder, exported file (.safetensors, .pt), .ckpt, 'library/name', or "
            "(Python) a module or wrapper; None: `checkpoint`"
        },
    )
    out: str = field(
        validator=not_empty, metadata={"help": "file to write; with `shard_size` a folder"}
    )
    data: str | list[str] | PythonObject = field(
        validator=not_empty, metadata={"help": "images, as for `lightly run`"}
    )
    format: Literal["auto", "csv", "lightly_csv", "torch", "npz", "parquet"] = field(
        default="auto",
        metadata={
            "help": "file format; auto: from the ending .csv, .pt, .npz or .parquet of `out`; "
            "lightly_csv: with the columns filenames and labels (0) of LightlyTrain"
        },
    )
    shard_size: int | None = field(
        default=None,
        validator=optional(ge(1)),
        metadata={
            "help": "images per file: `out` is a folder of Parquet files, which several processes "
            "may write, and the same command continues after a stop; None: one file"
        },
    )
    devices: int | Literal["auto"] = field(
        default=1,
        metadata={
            "help": "processes that share the files of `shard_size`, each with a device of its "
            "own; auto: all GPUs. With a launcher such as torchrun its processes do"
        },
    )
    features: Literal["pooled", "class_token", "patch"] = field(
        default="pooled",
        metadata={
            "help": "pooled or class_token: one vector per image; patch: one vector per position "
            "of the feature map"
        },
    )
    l2_normalize: bool = field(
        default=False, metadata={"help": "scale every feature vector to length 1"}
    )
    max_skipped: float = field(
        default=0.1,
        validator=probability,
        metadata={"help": "fraction of unreadable images above which nothing is written"},
    )
    overwrite: bool = field(
        default=False,
        metadata={
            "help": "replace `out` if it exists; with `shard_size` only files of other settings, "
            "weights or images"
        },
    )

    @devices.validator
    def _devices_positive(self, attribute: object, value: int | str) -> None:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"'devices' must be a number >= 1 or 'auto', got {value}")
