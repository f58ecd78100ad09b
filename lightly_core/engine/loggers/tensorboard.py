"""TensorBoard event files in the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lightly_core.config.options.settings import TensorBoardArgs
from lightly_core.contracts import Logger


class TensorBoardLogger(Logger):
    """Write scalars, the configuration and images for TensorBoard.

    Args:
        config: Sub-folder and prefix.
        folder: The run folder.
        resume_step: Steps that a resumed run starts from; TensorBoard hides later values of the
            interrupted run. None: a new run.
    """

    def __init__(self, config: TensorBoardArgs, folder: Path, resume_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # not imported by a dry run

        self._prefix = config.prefix
        self._writer = SummaryWriter(
            log_dir=str(folder / config.sub_dir if config.sub_dir else folder),
            purge_step=None if resume_step is None else resume_step + 1,
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write one scalar per metric."""
        for name, value in metrics.items():
            self._writer.add_scalar(self._prefix + name, value, step)

    def log_config(self, config: Mapping[str, object]) -> None:
        """Write the configuration as a code block."""
        text = json.dumps(config, indent=2)
        self._writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()), 0)

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Write an image."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def finish(self, status: str) -> None:
        """Flush and close."""
        self._writer.close()
