"""The call of Lightning that trains."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as lightning

from lightly_core.engine.loggers.bridge import failures_reported
from lightly_core.errors import LightlyError


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, path: Path | None) -> None:
    """Train. Errors of loader workers are raised unchanged, errors of loggers are only logged.

    Args:
        trainer: Complete.
        module: What it trains.
        path: The checkpoint that a run goes on from; None: a new run.
    """
    try:
        with failures_reported(trainer.loggers):
            trainer.fit(module, ckpt_path=path)
    except LightlyError as error:
        raise _without_worker_traceback(error) from error


def _without_worker_traceback(error: LightlyError) -> LightlyError:
    """Undo how DataLoader passes on an error of a worker: as text, with the whole traceback."""
    text = str(error)
    if not text.startswith("Caught "):
        return error
    name = f"{type(error).__name__}: "
    return type(error)(text[text.rindex(name) + len(name) :].strip()) if name in text else error
