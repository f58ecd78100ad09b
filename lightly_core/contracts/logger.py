"""The contract of loggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # a dry run imports the loggers, and no torch
    from torch import nn


@dataclass(frozen=True)
class ExportedModel:
    """The exported backbone at the end of a run.

    Attributes:
        module: The backbone as its library has it, without the layer of ``embed_dim``. It must not
            be changed.
        metadata: Texts by name, as in the exported files: normalisation, image size, method, ...
        num_channels: Number of channels of its images.
        image_size: Height and width of its images in pixels.
    """

    module: nn.Module
    metadata: Mapping[str, str]
    num_channels: int
    image_size: tuple[int, int]


class Logger(ABC):
    """Records metrics. It is called on the first process only, and an exception switches it off.

    A run builds it with exactly these three arguments, by position.

    Args:
        config: Options of the logger, an instance of the class that its `LoggerRecord` names.
        folder: The existing run folder.
        resume_step: Step from which a run is resumed. The logger must remove later entries of the
            interrupted run, since these steps are repeated. None: a new run.
    """

    def __init__(self, config: Any, folder: Path, resume_step: int | None) -> None:  # noqa: ANN401
        self.config = config
        self.folder = folder
        self.resume_step = resume_step

    @classmethod  # noqa: B027 - optional
    def check(cls, config: Any) -> None:  # noqa: ANN401
        """Refuse options that cannot work on this machine, before anything is written.

        A dry run calls it too, so it must not write or use the network.

        Args:
            config: Options of the logger.

        Raises:
            ConfigError: A package or an account is missing, for example.
        """

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record scalars of one step. `step` never decreases."""

    def log_config(self, config: Mapping[str, object]) -> None:  # noqa: B027 - optional
        """Record the resolved configuration, nested plain data."""

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:  # noqa: B027 - optional
        """Record an image, uint8 (H, W, 3)."""

    def log_artifact(self, path: Path) -> None:  # noqa: B027 - optional
        """Record a file that the run wrote."""

    def log_model(self, model: ExportedModel) -> None:  # noqa: B027 - optional
        """Record the exported backbone as a model of the logger's own library, after training."""

    def finish(self, status: str) -> None:  # noqa: B027 - optional
        """Close the logger. It may be called twice.

        Args:
            status: ``finished``, ``interrupted`` or ``failed``.
        """
