"""Combinations of settings that cannot work or have no effect, found without heavy imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from lightly_core.config.callbacks import EarlyStoppingArgs
from lightly_core.config.fields import value_name
from lightly_core.config.settings import RunConfig

#: Arguments of torch's DataLoader that are for worker processes, and what they are without any.
_OF_WORKERS: Mapping[str, tuple[object, ...]] = {
    "timeout": (0,),
    "prefetch_factor": (None,),
    "persistent_workers": (False,),
    "multiprocessing_context": (None,),
}
#: Options of early stopping that say when, which a patience has to be given with.
_OF_PATIENCE = ("monitor", "min_delta")


def idle_early_stopping(run: RunConfig) -> Iterator[str]:
    """Refuse options of early stopping that do nothing, as it is off."""
    given = (run.callbacks or {}).get("early_stopping")
    if not isinstance(given, Mapping) or given.get("patience") is not None:
        return
    for field in attrs.fields(EarlyStoppingArgs):
        # A recorded configuration has the defaults in it.
        if field.name in _OF_PATIENCE and given.get(field.name, field.default) != field.default:
            yield (
                f"config.callbacks.early_stopping.{field.name}: got "
                f"{value_name(given[field.name])} without a patience, so training never stops "
                "early; set callbacks.early_stopping.patience to a number of epochs, or leave it "
                "out"
            )


def trainer_values(run: RunConfig) -> Iterator[str]:
    """Refuse numbers for Lightning's trainer that it takes without a word and that mean nothing."""
    given = run.trainer_args or {}
    steps = given.get("log_every_n_steps")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        yield (
            "config.trainer_args.log_every_n_steps: expected optimizer steps, 1 or more, got "
            f"{value_name(steps)}"
        )
    clip = given.get("gradient_clip_val")
    if clip is not None and (
        isinstance(clip, bool) or not isinstance(clip, (int, float)) or not clip >= 0
    ):
        yield (
            "config.trainer_args.gradient_clip_val: expected a norm, None for no clipping, got "
            f"{value_name(clip)}"
        )


def loader_problems(run: RunConfig) -> Iterator[str]:
    """Refuse arguments of the loader that do not fit the number of workers, or are no numbers.

    Args:
        run: Before or after "auto" has become a value.
    """
    given = run.loader_args or {}
    if run.num_workers == 0:
        for name, neutral in _OF_WORKERS.items():
            if name in given and given[name] not in neutral:
                yield (
                    f"config.loader_args.{name}: got {value_name(given[name])}, but there are no "
                    "worker processes (num_workers=0); set num_workers to 1 or more, or leave it "
                    "out"
                )
        return
    timeout = given.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        yield (
            f"config.loader_args.timeout: expected seconds, 0 for no limit, got "
            f"{value_name(timeout)}"
        )
    factor = given.get("prefetch_factor")
    if factor is not None and (
        isinstance(factor, bool) or not isinstance(factor, int) or factor < 1
    ):
        yield (
            "config.loader_args.prefetch_factor: expected batches for each worker, 1 or more, got "
            f"{value_name(factor)}"
        )


#: All of them, for settings as they were given.
COMBINATIONS = (idle_early_stopping, loader_problems, trainer_values)
