"""Settings of all commands that open a finished network."""

from __future__ import annotations

from typing import Any, Literal

from attrs import define, field
from attrs.validators import ge, optional

from lightly_core.config.options.checks import (
    not_empty,
    one_of,
    sizes,
    unit_deviations,
    unit_means,
    value_range,
    workers,
)
from lightly_core.config.options.settings import PRECISION_SYNONYMS, PythonObject


@define(frozen=True, kw_only=True)
class NetworkConfig:
    """The network, and how images are resized and normalised for it.

    A setting that is None is read from the run or the exported file. For a model by name or a
    module, it is that of the model, else 224 pixels, ImageNet's normalisation, three channels.
    """

    model: str | PythonObject = field(
        validator=not_empty,
        metadata={
            "help": "run folder, exported file (.safetensors, .pt), .ckpt, 'library/name', or "
            "(Python) a module or wrapper"
        },
    )
    checkpoint: str | None = field(
        default=None,
        metadata={"help": "weights for a `model` that is a name or a module", "file": True},
    )
    model_args: dict[str, Any] | None = field(
        default=None, metadata={"help": "arguments of the model's constructor"}
    )
    image_size: int | tuple[int, int] | None = field(
        default=None,
        validator=optional(sizes),
        metadata={"help": "size of the network's input in pixels, or (height, width)"},
    )
    mean: tuple[float, ...] | None = field(
        default=None,
        validator=optional(unit_means),
        metadata={"help": "mean of each channel, values in [0, 1]"},
    )
    std: tuple[float, ...] | None = field(
        default=None,
        validator=optional(unit_deviations),
        metadata={"help": "standard deviation of each channel, values in [0, 1]"},
    )
    num_channels: int | None = field(
        default=None, validator=optional(ge(1)), metadata={"help": "channels of an image"}
    )
    value_range: tuple[float, float] | None = field(
        default=None,
        validator=value_range,
        metadata={"help": "as `transform_args.value_range` of `lightly run`"},
    )
    seed: int = field(default=0, validator=ge(0), metadata={"help": "seed of all random numbers"})


@define(frozen=True, kw_only=True)
class BackboneConfig(NetworkConfig):
    """The network, and how its features are computed."""

    batch_size: int = field(
        default=128, validator=ge(1), metadata={"help": "images per forward pass"}
    )
    num_workers: int | Literal["auto"] = field(
        default="auto", validator=workers, metadata={"help": "processes that read images"}
    )
    accelerator: str = field(
        default="auto",
        validator=one_of("auto", "cpu", "gpu", "cuda", "mps"),
        metadata={"help": "'cpu', 'gpu', 'mps' or 'auto'"},
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = field(
        default="32-true",
        metadata={
            "help": "number format of the network; features are float32 in any case",
            "synonyms": PRECISION_SYNONYMS,
        },
    )
