"""Refuses arguments of torch's loader and Lightning's trainer that the run sets itself."""

from __future__ import annotations

from collections.abc import Iterator

from lightly_core.config.options.settings import RunConfig

#: The setting that replaces a key of `trainer_args`.
TRAINER_KEYS = {
    "accelerator": "accelerator",
    "accumulate_grad_batches": "gradient_accumulation_steps",
    "default_root_dir": "out",
    "devices": "devices",
    "enable_checkpointing": "callbacks.model_checkpoint",
    "max_epochs": "epochs",
    "num_nodes": "num_nodes",
    "precision": "precision",
    "strategy": "strategy",
}

#: The setting that replaces a key of `loader_args`; None: only the run itself sets it.
LOADER_KEYS = {
    "batch_sampler": None,
    "batch_size": "batch_size",
    "collate_fn": None,
    "dataset": "data",
    "drop_last": None,
    "generator": None,
    "num_workers": "num_workers",
    "sampler": None,
    "shuffle": None,
    "worker_init_fn": None,
}


def owned_keys(run: RunConfig) -> Iterator[str]:
    """Yield a problem for each key of `loader_args` and `trainer_args` that the run sets itself."""
    for group, given, owned in (
        ("loader_args", run.loader_args, LOADER_KEYS),
        ("trainer_args", run.trainer_args, TRAINER_KEYS),
    ):
        for key in given or {}:
            if key in owned:
                setting = owned[key]
                remedy = f"use the setting '{setting}' instead" if setting else "remove it"
                yield f"config.{group}.{key}: set by the run itself; {remedy}"
