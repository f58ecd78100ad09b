"""Why a run ended before its last step, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import EarlyStopping, Timer


def stop_reason(trainer: lightning.Trainer, total_steps: int) -> str | None:
    """Return where a run stopped and why.

    Args:
        trainer: After training.
        total_steps: Optimizer steps that were planned.

    Returns:
        One sentence; None if all steps were done.
    """
    step = trainer.global_step
    if step >= total_steps:
        return None
    reasons = list(_callbacks(trainer))
    if not reasons and trainer.should_stop:
        reasons = ["a callback stopped it"]
    why = "; ".join(reasons) or "the reason is not known"
    epochs = trainer.current_epoch
    return f"Stopped after step {step} of {total_steps}, in epoch {max(epochs, 1)}: {why}."


def _callbacks(trainer: lightning.Trainer) -> Iterator[str]:
    callbacks: list[lightning.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            epochs = f"{callback.patience} epoch{'s' * (callback.patience != 1)}"
            yield f"{callback.monitor} was no better for {epochs} (callbacks.early_stopping)"
        elif isinstance(callback, Timer):
            remaining = callback.time_remaining()
            if remaining is not None and remaining <= 0:
                yield "its time is over (trainer_args.max_time)"
