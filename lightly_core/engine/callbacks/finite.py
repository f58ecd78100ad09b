"""Stop a run with non-finite losses, gradients or tensors, before any of them is written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch

from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.engine.finite import (
    FiniteWatch,
    non_finite,
    optimizer_tensors,
    tensors_of,
)
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.module import TrainingModule
from lightly_core.engine.replay import BadStep, write_replay
from lightly_core.errors import RunError

logger = logging.getLogger(__name__)

_SHOWN = 5
_REMEDIES = (
    "Try a smaller optim_args.lr, a longer optim_args.warmup_epochs, "
    "trainer_args.gradient_clip_val=1.0, or precision=32-true"
)


class FiniteCallback(lightning.Callback):
    """Read the records of `FiniteWatch`, and check all tensors before they are saved.

    Place it before the callbacks that measure or write, which then get finite values only.

    Args:
        args: Whether losses and gradients are checked, and how many steps may be skipped.
        folder: The run folder, to which a failed step is saved.
    """

    def __init__(self, args: CallbacksArgs, folder: RunFolder) -> None:
        stopping = args.early_stopping
        self._args = args.non_finite
        self._stops = self._args is not None and (stopping is None or stopping.check_finite)
        self._folder = folder
        self._skipped: list[int] = []
        #: Tensors that were not finite before the first step. None before training.
        self._initially_bad: frozenset[str] | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Start the checks. Buffers may hold infinities on purpose, such as attention masks.

        Raises:
            RunError: A parameter is not finite before the first step.
        """
        names = set(non_finite(tensors_of(module.state_dict())))
        bad = [name for name, _ in module.named_parameters() if name in names]
        if bad:
            raise RunError(
                f"{_listed(bad)} hold nan or infinity before the first step; nothing was "
                "written. Give other weights, or none, in `checkpoint`, `model_args` or your module"
            )
        self._initially_bad = frozenset(names)
        if self._stops and self._args is not None:
            module.finite = FiniteWatch(
                module.method, self._args.max_skipped, trainer.global_rank, trainer.world_size
            )
            module.finite.skipped = list(self._skipped)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: TrainingModule,  # type: ignore[override]
        outputs: object,
        batch: object,
        batch_index: int,
    ) -> None:
        """Log that a step was skipped."""
        if module.finite is None or len(module.finite.skipped) == len(self._skipped):
            return
        self._skipped = list(module.finite.skipped)
        bad = BadStep(module.resolved, "gradient", self._skipped[-1], rank=None)
        kept = self._save_step(trainer, module, bad)
        assert self._args is not None
        logger.warning(
            "%s was not finite: the step was skipped, %d of at most %d "
            "(callbacks.non_finite.max_skipped). %s. %s",
            bad.what.capitalize(),
            len(self._skipped),
            self._args.max_skipped,
            bad.images(module),
            kept,
        )

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        """Check before anything is measured, exported or saved."""
        self.check(trainer, module)

    def check(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *, state: bool = True
    ) -> None:
        """Stop if anything is not finite. Every process must call it.

        Args:
            trainer: The Trainer, which reduces over processes.
            module: The module that is trained.
            state: Whether all tensors are checked too. Required before they are written.

        Raises:
            RunError: A loss, a gradient or a tensor is not finite.
        """
        assert isinstance(module, TrainingModule)
        if module.finite is None and not state:
            return
        names = self._bad_tensors(trainer, module) if state else []
        notes = torch.tensor([0 if names else 1], dtype=torch.int64, device=module.device)
        if module.finite is not None:
            notes = torch.cat([module.finite.marks(module.device), notes])
        if trainer.world_size > 1:
            notes = trainer.strategy.reduce(notes, reduce_op="min")
        *marks, fine = notes.tolist()
        fault = module.finite.fault(marks) if module.finite is not None else None
        if fault is not None:
            bad = BadStep(module.resolved, fault.kind, fault.batch, fault.rank)
            kept = self._save_step(trainer, module, bad)
            trainer.strategy.barrier("kept")  # the first process ends with the other ones
            raise RunError(self._stopped(module, bad, kept))
        if not fine:
            raise RunError(self._bad_state(trainer, module, names))

    def refuse_export(self, module: TrainingModule) -> None:
        """Stop before a network that is not finite is exported.

        Raises:
            RunError: Some tensors are not finite. The message names them.
        """
        if self._initially_bad is None:
            return
        names = set(non_finite(tensors_of(module.state_dict()))) - self._initially_bad
        if names:
            raise RunError(
                f"{_listed(sorted(names))} hold nan or infinity: the model is not exported, and "
                f"earlier exported files are unchanged. {_REMEDIES}"
            )

    def _bad_tensors(self, trainer: lightning.Trainer, module: TrainingModule) -> list[str]:
        """Return the names of tensors of method and optimizer that became nan or infinite."""
        tensors = list(tensors_of(module.state_dict()))
        for optimizer in trainer.optimizers:
            tensors += optimizer_tensors(optimizer, module)
        known = self._initially_bad or frozenset()
        return [name for name in non_finite(tensors) if name not in known]

    def _save_step(self, trainer: lightning.Trainer, module: TrainingModule, bad: BadStep) -> str:
        if not trainer.is_global_zero:
            return ""
        if module.replica is not None:
            return "The step is not saved for a replay, since its weights are sharded"
        path = self._folder.non_finite / f"step={bad.step}.pt"
        try:
            write_replay(path, module, bad)
        except Exception as error:  # the error of the step matters more
            logger.debug("The step could not be saved.", exc_info=True)
            return f"The step could not be saved for a replay ({type(error).__name__}: {error})"
        return f"The step is saved in '{path}', and lightly_core.replay repeats it"

    def _stopped(self, module: TrainingModule, bad: BadStep, kept: str) -> str:
        allowed = len(self._skipped) + 1
        more = (
            ", or skip such steps, with "
            f"resume_interrupted=true callbacks.non_finite.max_skipped={allowed}"
            if bad.kind == "gradient"
            else ", or look at these images"
        )
        return (
            f"{bad.what} is not finite: training has diverged and was stopped, and nothing has "
            f"been written since then. {self._last()}. {bad.images(module)}. {kept}. "
            f"{_REMEDIES}{more}"
        )

    def _bad_state(
        self, trainer: lightning.Trainer, module: TrainingModule, names: list[str]
    ) -> str:
        named = _listed(names) if names else "tensors of another process"
        return (
            f"{named} hold nan or infinity after step {trainer.global_step} (epoch "
            f"{trainer.current_epoch + 1}), although the losses and gradients that were checked "
            "are finite: training was stopped before this was written. "
            f"{self._last()}. {_REMEDIES}"
        )

    def _last(self) -> str:
        path: Path = self._folder.last_checkpoint
        if path.is_file():
            return f"The last checkpoint before it is kept: '{path}'"
        return "No checkpoint had been written yet"

    def state_dict(self) -> dict[str, Any]:
        """Return the skipped steps."""
        return {"skipped": list(self._skipped)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the skipped steps."""
        self._skipped = [int(batch) for batch in state["skipped"]]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
