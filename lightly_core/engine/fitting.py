"""Train with Lightning's Trainer."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as lightning

from lightly_core.engine.loggers.bridge import failures_reported
from lightly_core.errors import LightlyError


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, path: Path | None) -> None:
    """Train. Errors of loader workers are raised unchanged, errors of loggers are only logged.

    Args:
        trainer: The Trainer, with all callbacks and loggers.
        module: The module to train.
        path: Checkpoint to resume from; None: a new run.
    """
    try:
        with failures_reported(trainer.loggers):
            trainer.fit(module, ckpt_path=path)
    except LightlyError as error:
        raise _without_worker_traceback(error) from error
    finally:
        # Lightning does this too, unless the device has failed.
        trainer.strategy.checkpoint_io.teardown()


def _without_worker_traceback(error: LightlyError) -> LightlyError:
    """Remove the worker's traceback, which DataLoader adds to the message of an error."""
    text = str(error)
    if not text.startswith("Caught "):
        return error
    name = f"{type(error).__name__}: "
    return type(error)(text[text.rindex(name) + len(name) :].strip()) if name in text else error
