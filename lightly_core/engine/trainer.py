"""Builds Lightning's Trainer from resolved settings."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins import DoublePrecision

from lightly_core.config.auto.resolve import Resolved
from lightly_core.config.options.callbacks import EarlyStoppingArgs
from lightly_core.config.options.settings import PythonObject
from lightly_core.engine.checkpoint_io import AtomicCheckpointIO
from lightly_core.engine.cluster import cluster_plugins
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.fsdp2 import NAME, FSDP2Strategy
from lightly_core.engine.loggers.bridge import LoggerBridge, lightning_loggers
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.sync_norms import norm_settings
from lightly_core.errors import ConfigError, did_you_mean

logger = logging.getLogger(__name__)

#: Seconds between the end of `process_timeout` and that of a collective operation.
_SECONDS_LATER = 60.0
#: Arguments that take objects: their description, and methods by which they are recognised.
_OBJECTS = {
    "callbacks": ("a Lightning Callback", ("setup", "on_train_batch_end", "state_dict")),
    "logger": ("a Lightning Logger", ("log_metrics", "log_hyperparams", "finalize")),
}


def build_trainer(
    resolved: Resolved,
    folder: RunFolder,
    loggers: Fanout,
    callbacks: Sequence[lightning.Callback],
) -> lightning.Trainer:
    """Build the Trainer; `trainer_args` override settings; their callbacks and loggers are added.

    Raises:
        ConfigError: Lightning refuses an argument.
    """
    run = resolved.run
    extra = dict(run.trainer_args or {})
    own_callbacks = [*callbacks, *_as_list(extra.pop("callbacks", None))]
    extra.pop("logger", None)
    # The user's come first: callbacks expect the logger they were written for in `trainer.logger`.
    own_loggers = [*lightning_loggers(run.trainer_args), LoggerBridge(loggers)]
    plugins, sync_batchnorm, precision = _plugins(resolved, folder, extra)
    arguments: dict[str, Any] = {
        "accelerator": plain(run.accelerator),
        "devices": run.devices,
        "num_nodes": run.num_nodes,
        "strategy": FSDP2Strategy() if run.strategy == NAME else plain(run.strategy),
        "precision": precision,
        "max_epochs": run.epochs,
        "accumulate_grad_batches": resolved.accumulation,
        "gradient_clip_val": resolved.gradient_clip_val,
        "log_every_n_steps": resolved.log_every_n_steps,
        "default_root_dir": str(folder.root),
        "sync_batchnorm": sync_batchnorm,
        # The engine does all of these itself.
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        **extra,
    }
    try:
        trainer = lightning.Trainer(
            callbacks=own_callbacks, logger=own_loggers, plugins=plugins, **arguments
        )
    except Exception as error:  # Lightning raises many kinds for wrong arguments
        raise ConfigError(
            f"Lightning's Trainer refuses its arguments: {error}\n  given: "
            + ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        ) from error
    _drop_foreign_callbacks(trainer, own_callbacks)
    if isinstance(run.strategy, str) and hasattr(trainer.strategy, "_timeout"):
        # Later than the watch, which names the process that all wait for.
        trainer.strategy._timeout = timedelta(seconds=run.process_timeout + _SECONDS_LATER)
    return trainer


def trainer_args_problems(trainer_args: dict[str, Any] | None) -> list[str]:
    """Return errors for keys of `trainer_args` that the Trainer lacks, and for wrong objects."""
    known = set(inspect.signature(lightning.Trainer.__init__).parameters) - {"self"}
    problems = []
    for key in trainer_args or {}:
        if key not in known:
            hint = did_you_mean(key, known)
            text = f"config.trainer_args: Lightning's Trainer has no '{key}'"
            problems.append(f"{text}, {hint}" if hint else text)
    for key, (kind, methods) in _OBJECTS.items():
        for value in _as_list((trainer_args or {}).get(key)):
            if isinstance(value, type) or not all(hasattr(value, name) for name in methods):
                got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
                problems.append(
                    f"config.trainer_args.{key}: expected {kind} or a list of them, got {got}; "
                    "pass an instance, from Python"
                )
    return problems


def early_stopping(args: EarlyStoppingArgs | None) -> list[lightning.Callback]:
    """Return Lightning's callback if a patience is set."""
    if args is None or args.patience is None:
        return []
    return [
        EarlyStopping(
            monitor=args.monitor,
            mode=args.mode,
            patience=args.patience,
            min_delta=args.min_delta,
            check_on_train_epoch_end=True,
            check_finite=False,  # the engine checks every logged loss itself
            strict=False,  # a metric may be logged every few epochs only
        )
    ]


def plain(value: object) -> Any:  # noqa: ANN401 - any argument of Lightning
    """Return the value of a PythonObject; anything else is returned unchanged."""
    return value.value if isinstance(value, PythonObject) else value


def _plugins(
    resolved: Resolved, folder: RunFolder, extra: dict[str, Any]
) -> tuple[list[Any], bool, str | None]:
    """Return all plugins, and Lightning's arguments ``sync_batchnorm`` and ``precision``.

    Args:
        resolved: Settings without "auto".
        folder: The run folder.
        extra: Arguments of the user. Those that are used here are removed.
    """
    given = _as_list(extra.pop("plugins", None))
    norms, sync_batchnorm = norm_settings(resolved, extra.pop("sync_batchnorm", None), given)
    own: list[Any] = [AtomicCheckpointIO(folder), *cluster_plugins(given, folder.root), *norms]
    precision: str | None = str(resolved.run.precision)
    if resolved.run.strategy == NAME and precision == "64-true":
        # Refused with shards by its name, but not as a plugin.
        precision = None
        own.append(DoublePrecision())
    return [*own, *given], sync_batchnorm, precision


def _as_list(value: object) -> list[Any]:
    if value is None or value is False or value is True:
        return []
    value = plain(value)
    return list(value) if isinstance(value, list | tuple) else [value]


def _drop_foreign_callbacks(trainer: lightning.Trainer, own: Sequence[lightning.Callback]) -> None:
    # Lightning adds the callbacks that any installed package registers.
    callbacks: list[lightning.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in list(callbacks):
        root = type(callback).__module__.split(".")[0]
        if callback not in own and root not in ("lightning", "lightly_core"):
            callbacks.remove(callback)
            logger.warning(
                "Skipped callback %s.%s, which an installed package adds to every Lightning "
                "run; pass it in trainer_args.callbacks to use it.",
                type(callback).__module__,
                type(callback).__name__,
            )
