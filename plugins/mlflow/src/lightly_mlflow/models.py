"""Saves the exported backbone as an MLflow model."""

from __future__ import annotations

import copy
import inspect
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lightly_core.contracts import ExportedModel
from lightly_core.engine.remote import LOGGER_FOLDER

#: Folder of the MLflow model among the files of loggers, until it is sent.
FOLDER = "mlflow_model"


def save_model(model: ExportedModel, folder: Path) -> Path:
    """Save the backbone so that ``mlflow.pytorch.load_model`` returns the module.

    The file is a pickle of the module, as MLflow calls it. To load it one needs the library of the
    model, such as torchvision, and neither lightly-core nor a plugin.

    Args:
        model: The backbone.
        folder: The run folder.

    Returns:
        The folder that was written.
    """
    path = folder / LOGGER_FOLDER / FOLDER
    shutil.rmtree(path, ignore_errors=True)
    module = copy.deepcopy(model.module).cpu().eval()
    module = module.to(memory_format=torch.contiguous_format)  # a run may use another one
    with _quiet():
        import mlflow.pytorch

        arguments: dict[str, Any] = {}
        if "serialization_format" in inspect.signature(mlflow.pytorch.save_model).parameters:
            arguments["serialization_format"] = "pickle"  # a traced graph could not be fine-tuned
        mlflow.pytorch.save_model(
            module,
            str(path),
            pip_requirements=_requirements(module),
            metadata=dict(model.metadata),
            **arguments,
        )
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of pickles and of a missing pip, and remove the handlers that imports add."""
    noise, root = logging.getLogger("mlflow"), logging.getLogger()
    levels, handlers = (noise.level, root.level), root.handlers[:]
    noise.setLevel(logging.ERROR)
    try:
        yield
    finally:
        noise.setLevel(levels[0])
        root.setLevel(levels[1])
        root.handlers[:] = handlers


def _requirements(module: torch.nn.Module) -> list[str]:
    """Return the packages that loading needs, without importing the model in another process."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    roots = {type(part).__module__.partition(".")[0] for part in module.modules()}
    installed = packages_distributions()
    names = {"torch", *(name for root in roots for name in installed.get(root, ()))}
    lines = []
    for name in sorted(names):
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return lines
