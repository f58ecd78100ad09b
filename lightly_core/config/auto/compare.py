"""Compares two resolved configurations, to decide whether a run can be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Settings that do not influence training, or that only matter when a run starts.
_FREE = frozenset(
    {
        "checkpoint",
        "loader_args",  # those that change the data are not allowed there
        "loggers",
        "max_skipped",
        "num_workers",
        "out",
        "overwrite",
        "process_timeout",
        "profile",
        "recipe",  # what it sets is compared
        "requeue",
        "resume",
        "resume_interrupted",
        "val_data",
    }
)
#: Settings that may change while the kind of device stays the same. Every number of processes gets
#: the same batches, since `batch_size` is that of all processes together.
_LAYOUT = frozenset({"devices", "num_nodes", "strategy"})
#: Callbacks that influence training. The others only measure and write.
_BINDING_CALLBACKS = frozenset({"early_stopping"})
#: Arguments of Lightning's trainer that only measure or write.
_FREE_TRAINER_ARGS = frozenset({"callbacks", "logger", "plugins", "profiler", "log_every_n_steps"})


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the changed settings with which a run cannot be resumed.

    Settings without influence on training may change: `out`, loggers, loaders, callbacks other than
    `early_stopping`, and arguments in `trainer_args` that only measure. So may `devices`,
    `num_nodes` and `strategy`, while the accelerator stays the same.

    Args:
        old: `Resolved.as_dict()` of the interrupted run, perhaps read from JSON.
        new: `Resolved.as_dict()` of the run that resumes it.

    Returns:
        One line for each setting, for example ``batch_size: was 128, now 64``.
    """
    was, now = old.get("derived", {}), new.get("derived", {})
    ignored = set(_FREE)
    if old.get("accelerator") == new.get("accelerator"):
        ignored |= _LAYOUT
    found = list(_changes(_binding(old, ignored), _binding(new, ignored), ""))
    if was.get("dataset_size") != now.get("dataset_size"):
        found.append(f"data: was {was.get('dataset_size')} images, now {now.get('dataset_size')}")
    return found


def _binding(settings: Mapping[str, Any], ignored: set[str]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in {*ignored, "derived"}}
    callbacks = kept.get("callbacks") or {}
    kept["callbacks"] = {key: callbacks.get(key) for key in _BINDING_CALLBACKS}
    trainer_args = kept.get("trainer_args") or {}
    kept["trainer_args"] = {
        key: value for key, value in trainer_args.items() if key not in _FREE_TRAINER_ARGS
    }
    return kept


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        name = f"{prefix}{key}"
        if key not in old or key not in new:
            was = repr(old[key]) if key in old else "not set"
            now = repr(new[key]) if key in new else "not set"
            yield f"{name}: was {was}, now {now}"
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            yield from _changes(old[key], new[key], f"{name}.")
        elif old[key] != new[key]:
            yield f"{name}: was {old[key]!r}, now {new[key]!r}"
