"""Types of the arguments of `lightly_core.pretrain`, for editors and type checkers.

Made by ``python -m lightly_core.config.docs``; change `settings.py` instead.
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

    from lightly_core.config.settings import Precision


class RunSettings(TypedDict, total=False):
    """The settings of a run, by name."""

    out: Required[str | Path]
    data: Required[str | Path | Sequence[str | Path] | Dataset[Any]]
    model: Required[str | Path | nn.Module]
    method: str
    method_args: Mapping[str, Any] | None
    embed_dim: int | None
    epochs: int | Literal["auto"]
    batch_size: int
    num_workers: int | Literal["auto"]
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
