"""Finds combinations of settings that cannot work or have no effect. No heavy imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from lightly_core.config.options.callbacks import EarlyStoppingArgs
from lightly_core.config.options.fields import value_name
from lightly_core.config.options.settings import RunConfig

#: Arguments of torch's DataLoader for worker processes, and their values without any effect.
_OF_WORKERS: Mapping[str, tuple[object, ...]] = {
    "timeout": (0,),
    "prefetch_factor": (None,),
    "persistent_workers": (False,),
    "multiprocessing_context": (None,),
}
#: Arguments of torch's DataLoader that accept any object and use its truth value.
_SWITCHES = ("pin_memory", "persistent_workers", "in_order")
#: Arguments of Lightning's trainer that a run refuses: the reason, and the remedy.
_MODES: Mapping[str, tuple[str, str]] = {
    "fast_dev_run": (
        "which switches off the loggers and the checkpoints of the run",
        "for a trial set epochs=1 and trainer_args.limit_train_batches=1",
    ),
    "overfit_batches": (
        "which replaces the order of the images",
        "give fewer images as data, or set trainer_args.limit_train_batches",
    ),
    "barebones": ("which switches off the logs and the files of a run", "remove it"),
    "use_distributed_sampler": (
        "but the run divides the images among processes itself",
        "remove it",
    ),
}
#: Arguments for loops that a run does not have, and their values without any effect.
_OF_OTHER_LOOPS: Mapping[str, tuple[object, ...]] = {
    "val_check_interval": (None,),
    "check_val_every_n_epoch": (None, 1),
    "limit_val_batches": (None, 0),
    "limit_test_batches": (None, 0),
    "limit_predict_batches": (None, 0),
    "num_sanity_val_steps": (None, 0),
    "reload_dataloaders_every_n_epochs": (None, 0),
}
#: Options of early stopping that have no effect without a patience.
_OF_PATIENCE = ("monitor", "min_delta")


def idle_early_stopping(run: RunConfig) -> Iterator[str]:
    """Refuse options of early stopping while it is off."""
    given = (run.callbacks or {}).get("early_stopping")
    if not isinstance(given, Mapping) or given.get("patience") is not None:
        return
    for field in attrs.fields(EarlyStoppingArgs):
        # A recorded configuration contains the defaults.
        if field.name in _OF_PATIENCE and given.get(field.name, field.default) != field.default:
            yield (
                f"config.callbacks.early_stopping.{field.name}: got "
                f"{value_name(given[field.name])} without a patience, so training never stops "
                "early; set callbacks.early_stopping.patience to a number of epochs, or remove it"
            )


def idle_checkpoint_mode(run: RunConfig) -> Iterator[str]:
    """Refuse a mode without a metric to rank checkpoints by."""
    given = (run.callbacks or {}).get("model_checkpoint")
    if not isinstance(given, Mapping) or given.get("monitor") is not None:
        return
    if given.get("mode") == "max":  # a recorded configuration has "min" by default
        yield (
            "config.callbacks.model_checkpoint.mode: got 'max' (str) without a monitor, so the "
            "newest checkpoints are kept; set callbacks.model_checkpoint.monitor to a metric, or "
            "remove it"
        )


def trainer_values(run: RunConfig) -> Iterator[str]:
    """Refuse invalid numbers for Lightning's trainer that it accepts silently."""
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
    """Refuse invalid arguments of the loader, and those without effect at this number of workers.

    Args:
        run: Settings of the run, before or after "auto" is resolved.
    """
    given = run.loader_args or {}
    for name in _SWITCHES:
        if not isinstance(given.get(name, False), bool):
            yield (
                f"config.loader_args.{name}: expected true or false, got {value_name(given[name])}"
            )
    if run.num_workers == 0:
        for name, neutral in _OF_WORKERS.items():
            if name in given and given[name] not in neutral:
                yield (
                    f"config.loader_args.{name}: got {value_name(given[name])}, but there are no "
                    "worker processes (num_workers=0); set num_workers to 1 or more, or remove it"
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


def trainer_limits(run: RunConfig) -> Iterator[str]:
    """Refuse limits of Lightning's trainer that are not a number of batches or a fraction."""
    limit = (run.trainer_args or {}).get("limit_train_batches")
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        return
    if not isinstance(limit, float) or not 0 <= limit <= 1:
        yield (
            "config.trainer_args.limit_train_batches: expected a number of batches (int), or a "
            f"fraction of them (float up to 1.0), got {value_name(limit)}"
        )


def trainer_modes(run: RunConfig) -> Iterator[str]:
    """Refuse modes of Lightning's trainer that disable parts of a run."""
    given = run.trainer_args or {}
    for name, (why, remedy) in _MODES.items():
        if given.get(name):
            yield f"config.trainer_args.{name}: got {value_name(given[name])}, {why}; {remedy}"


def second_profiler(run: RunConfig) -> Iterator[str]:
    """Refuse a profiler of Lightning beside that of `profile`: a run has one."""
    given = (run.trainer_args or {}).get("profiler")
    if run.profile and given is not None:
        yield (
            f"config.profile: got true beside trainer_args.profiler={value_name(given)}, but "
            "Lightning runs one profiler only; remove one of them"
        )


def idle_trainer_args(run: RunConfig) -> Iterator[str]:
    """Yield warnings about arguments of Lightning's trainer that have no effect."""
    given = run.trainer_args or {}
    idle = [name for name, neutral in _OF_OTHER_LOOPS.items() if given.get(name) not in neutral]
    if idle:
        named = ", ".join(f"trainer_args.{name}" for name in idle)
        yield (
            f"{named} without effect: a run has no loop other than training; to measure during "
            "training, set val_data, callbacks.knn and callbacks.signals"
        )


#: Checks of the given settings. Each yields problems.
COMBINATIONS = (
    idle_early_stopping,
    idle_checkpoint_mode,
    loader_problems,
    trainer_values,
    trainer_limits,
    trainer_modes,
    second_profiler,
)
