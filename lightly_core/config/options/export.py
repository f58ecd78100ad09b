"""Settings of `lightly export`."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

from lightly_core.config.options.backbone import NetworkConfig
from lightly_core.config.options.checks import not_empty
from lightly_core.config.options.settings import PythonObject


@define(frozen=True, kw_only=True)
class ExportConfig(NetworkConfig):
    """All settings of `lightly export` and `lightly_core.export`."""

    out: str = field(validator=not_empty, metadata={"help": "file or folder to write"})
    model: str | PythonObject | None = field(  # type: ignore[assignment]
        default=None,
        metadata={
            "help": "run folder, exported file (.safetensors, .pt), .ckpt, 'library/name', or "
            "(Python) a module or wrapper; None: `checkpoint`"
        },
    )
    best: bool = field(
        default=False,
        metadata={"help": "of a run folder: the best weights instead of the last ones"},
    )
    part: Literal["auto", "model", "wrapped_model", "embedding_model"] = field(
        default="auto",
        metadata={
            "help": "model: the library's own module; wrapped_model: with feature map and pooled "
            "features; embedding_model: one vector for each image, through the layer of "
            "`embed_dim` if there is one; auto: the first that the format can hold"
        },
    )
    format: str = field(
        default="auto",
        validator=not_empty,
        metadata={"help": "a name of `lightly formats`; auto: from the ending of `out`"},
    )
    overwrite: bool = field(default=False, metadata={"help": "replace `out` if it exists"})
