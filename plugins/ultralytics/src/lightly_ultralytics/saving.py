"""Write a model as the file that ``YOLO(path)`` and ``RTDETR(path)`` load and train from."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightly_core.parts.files import save_torch
from lightly_core.parts.sync_batch_norm import desynchronise
from lightly_ultralytics.description import input_channels, task_of
from lightly_ultralytics.upstream import quietly, upstream


def save_checkpoint(module: nn.Module, path: Path) -> None:
    """Write a ``.pt`` file of ultralytics.

    It has the entries of a file that training with ultralytics writes. The weights stay in float32,
    where ultralytics rounds them to float16.

    Args:
        module: A model of ultralytics, for example a `DetectionModel`; not changed.
        path: Where to write.
    """
    twin: Any = _clean_copy(module)
    arguments = {"task": _task(twin), **_image_size(twin)}
    twin.args = arguments
    twin.task = arguments["task"]
    if hasattr(twin, "criterion"):
        twin.criterion = None  # The loss holds tensors and options of the last training.
    if isinstance(getattr(twin, "yaml", None), dict):
        # Training rebuilds the model from this. The name of the entry differs between versions.
        twin.yaml["channels"] = twin.yaml["ch"] = input_channels(twin)
    content = {
        "epoch": -1,
        "best_fitness": None,
        "model": twin,
        "ema": None,
        "updates": None,
        "optimizer": None,
        # Older versions read the task here and nowhere else.
        "train_args": arguments,
        "date": datetime.now(timezone.utc).isoformat(),
        "version": upstream("ultralytics").__version__,
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
    }
    with quietly():
        save_torch(content, path)


def _clean_copy(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module).cpu().eval()
    _undo_synchronised_norms(twin)
    # Some versions cannot fuse weights in the channels-last layout, in which training leaves them.
    return twin.to(memory_format=torch.contiguous_format)


def _undo_synchronised_norms(module: nn.Module) -> None:
    """Make synchronised batch norms plain ones, which work in one process."""
    desynchronise(module)
    for part in module.modules():
        if isinstance(part, nn.SyncBatchNorm):  # the user has synchronised it
            del part.process_group
            part.__class__ = nn.BatchNorm2d  # type: ignore[assignment]


def _task(model: Any) -> str:  # noqa: ANN401 - any attributes
    task = getattr(model, "task", None)
    if isinstance(task, str):
        return task
    config = getattr(model, "yaml", None)
    return task_of(config) if isinstance(config, dict) else "detect"


def _image_size(model: Any) -> dict[str, int]:  # noqa: ANN401 - any attributes
    arguments = getattr(model, "args", None)
    if not isinstance(arguments, dict):
        arguments = vars(arguments) if hasattr(arguments, "__dict__") else {}
    size = arguments.get("imgsz")
    return {"imgsz": size} if type(size) is int else {}
