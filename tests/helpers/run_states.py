"""Runs that are stopped at a chosen step, and the comparison of what two runs have left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def stop_in_step(number: int) -> "Callback":
    """Return a callback that sends Ctrl-C to this process once; steps count from 1."""
    from lightning.pytorch.callbacks import LambdaCallback

    sent = []

    def send(trainer: Any, *_: object) -> None:
        if trainer.global_step == number - 1 and not sent:
            sent.append(number)
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_train_batch_start=send)


def state_of(out: Path) -> dict[str, Any]:
    """Return all values of `last.ckpt` and of the exported file by name."""
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    exported = torch.load(out / "exported_models/exported_last.pt", weights_only=True)
    parts = {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "global_step")}
    return dict(_flat({**parts, "exported": exported}, ""))


def _flat(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        yield from _flat(dict(enumerate(value)), name)
    else:
        yield name, value


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what is not equal, to the last bit."""
    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())
    return [
        name
        for name, value in one.items()
        if not (
            torch.equal(value, other[name])
            if isinstance(value, torch.Tensor)
            else value == other[name]
        )
    ]
