"""Types of the arguments of the functions in `lightly_core`, for editors and type checkers.

Made by ``python -m lightly_core.config.docs``; change the option classes instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, Literal

    from lightning.pytorch.accelerators import Accelerator
    from lightning.pytorch.strategies import Strategy
    from torch import nn
    from torch.utils.data import Dataset
    from typing_extensions import Required

    from lightly_core.config.options.settings import Precision


class RunSettings(TypedDict, total=False):
    """The settings of a run, by name."""

    out: Required[str | Path]
    data: Required[str | Path | Sequence[str | Path] | Dataset[Any]]
    model: Required[str | Path | nn.Module]
    val_data: str | Path | Sequence[str | Path] | Dataset[Any] | None
    method: str
    method_args: Mapping[str, Any] | None
    embed_dim: int | None
    epochs: int | Literal["auto"]
    batch_size: int
    num_workers: int | Literal["auto"]
    in_memory: bool | Literal["auto"]
    devices: int | str | Sequence[int]
    num_nodes: int
    resume_interrupted: bool
    checkpoint: str | Path | None
    overwrite: bool
    accelerator: str | Accelerator
    strategy: str | Strategy
    precision: Precision
    float32_matmul_precision: Literal["auto", "highest", "high", "medium"]
    seed: int | None
    loggers: Mapping[str, Any] | None
    callbacks: Mapping[str, Any] | None
    optim: str
    optim_args: Mapping[str, Any] | None
    transform_args: Mapping[str, Any] | None
    loader_args: Mapping[str, Any] | None
    trainer_args: Mapping[str, Any] | None
    model_args: Mapping[str, Any] | None
    activation_checkpoint_args: Mapping[str, Any] | None
    gradient_accumulation_steps: int
    max_skipped: float
    resume: bool | None


class EmbedSettings(TypedDict, total=False):
    """The settings of `lightly_core.embed`, by name."""

    model: Required[str | Path | nn.Module]
    checkpoint: str | Path | None
    model_args: Mapping[str, Any] | None
    image_size: int | tuple[int, int] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    num_channels: int | None
    value_range: Sequence[float] | None
    batch_size: int
    num_workers: int | Literal["auto"]
    accelerator: str
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    seed: int
    out: Required[str | Path]
    data: Required[str | Path | Sequence[str | Path] | Dataset[Any]]
    format: Literal["auto", "csv", "torch", "npz", "parquet"]
    features: Literal["pooled", "class_token", "patch"]
    l2_normalize: bool
    max_skipped: float
    overwrite: bool


class EvaluateSettings(TypedDict, total=False):
    """The settings of `lightly_core.evaluate`, by name."""

    model: Required[str | Path | nn.Module]
    checkpoint: str | Path | None
    model_args: Mapping[str, Any] | None
    image_size: int | tuple[int, int] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    num_channels: int | None
    value_range: Sequence[float] | None
    batch_size: int
    num_workers: int | Literal["auto"]
    accelerator: str
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    seed: int
    data: Required[str | Path | Sequence[str | Path] | Dataset[Any]]
    val_data: str | Path | Sequence[str | Path] | Dataset[Any] | None
    labels: str | Path | None
    val_labels: str | Path | None
    out: str | Path | None
    knn: Mapping[str, Any] | bool | None
    linear: Mapping[str, Any] | bool | None
    finetune: Mapping[str, Any] | bool | None
    retrieval: Mapping[str, Any] | bool | None
    overwrite: bool
