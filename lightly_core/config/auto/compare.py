"""What changed between two resolved configurations, for a run that is to go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Settings that change no number of the training, or that say how a run begins.
_FREE = frozenset(
    {
        "checkpoint",
        "loader_args",  # those that change the data are not allowed there
        "loggers",
        "max_skipped",
        "num_workers",
        "out",
        "overwrite",
        "resume",
        "resume_interrupted",
        "val_data",
    }
)
#: Free where the number of processes and the kind of device stay the same.
_LAYOUT = frozenset({"devices", "num_nodes", "strategy"})
#: The one callback that decides when training ends; the others only watch and write.
_BINDING_CALLBACKS = frozenset({"early_stopping"})
#: What watches or writes beside training.
_FREE_TRAINER_ARGS = frozenset({"callbacks", "logger", "plugins", "profiler", "log_every_n_steps"})


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name the settings that differ so that a run cannot simply go on.

    Not named are settings without influence on the training (`out`, loggers, loaders, callbacks
    other than `early_stopping`, what in `trainer_args` only watches), and where the processes run
    (`devices`, `num_nodes`, `strategy`) while their number and the accelerator are the same.

    Args:
        old: `Resolved.as_dict()` of the run that was interrupted, perhaps read from JSON.
        new: That of the run that is to go on.

    Returns:
        One line for each setting, for example ``batch_size: was 128, now 64``.
    """
    was, now = old.get("derived", {}), new.get("derived", {})
    ignored = set(_FREE)
    same_world = was.get("world_size") == now.get("world_size")
    if same_world and old.get("accelerator") == new.get("accelerator"):
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
