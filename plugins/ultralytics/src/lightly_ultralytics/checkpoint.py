"""Read the ``.pt`` files of ultralytics without running what is in them.

Such a file holds a pickled module, and unpickling it would call whatever the file names. It is
read with `lightly_core.exporting.shells`, which keeps the data of objects and none of their code.
So files of other versions of ultralytics, whose classes have other names, can be read as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lightly_core.errors import ConfigError
from lightly_core.exporting.shells import Shell, load_inert, module_tensors

#: Top-level modules whose classes the files name; torchvision's are transforms of classifiers.
PICKLED_MODULES = ("ultralytics", "torchvision")


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a ``.pt`` file of ultralytics.

    Attributes:
        config: The model's description, as in a ``.yaml`` file.
        tensors: Weights and buffers by name (``model.0.conv.weight``); floating point as float32.
        names: Class names by number; empty where the file has none.
        image_size: Side in pixels with which the model was trained; None where it is not said.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    names: dict[int, str]
    image_size: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a ``.pt`` file that ultralytics, or our export, wrote.

    Args:
        path: An existing file.

    Raises:
        ConfigError: It is damaged, holds other objects than a model's, or no model.
    """
    content = _load(path)
    model = _find_model(content)
    if model is None:
        raise ConfigError(
            f"{path} holds no model of ultralytics\n  expected a file that YOLO(...).save() or "
            "training with ultralytics wrote; for a file with weights only, name the model "
            "(such as ultralytics/yolov8n.yaml) and pass the file as checkpoint"
        )
    attributes = _attributes(model)
    trained_with = content.get("train_args") if isinstance(content, Mapping) else None
    size = trained_with.get("imgsz") if isinstance(trained_with, Mapping) else None
    return Checkpoint(
        config=attributes["yaml"],
        tensors=module_tensors(model),
        names=dict(_class_names(attributes.get("names"))),
        image_size=size if type(size) is int else None,
    )


def _load(path: Path) -> object:
    try:
        return load_inert(path, PICKLED_MODULES)
    except ConfigError:
        raise
    except Exception as error:  # Damaged files raise errors of any class.
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{path} cannot be read: {type(error).__name__}: {reason}"
            "\n  expected a .pt file that ultralytics, or an export of a run, wrote"
        ) from error


def _attributes(model: Shell) -> Mapping[str, Any]:
    return model.state if isinstance(model.state, Mapping) else {}


def _find_model(content: object) -> Shell | None:
    """Return the pickled model, None if there is none."""
    candidates = [content]
    if isinstance(content, Mapping):
        # As ultralytics does: the average of the weights comes first.
        candidates = [content.get("ema"), content.get("model")]
    for candidate in candidates:
        seen: set[int] = set()
        while isinstance(candidate, Shell) and id(candidate) not in seen:
            attributes = _attributes(candidate)
            if isinstance(attributes.get("yaml"), dict):
                return candidate
            seen.add(id(candidate))
            # A whole YOLO object keeps its model below this name.
            children = attributes.get("_modules")
            candidate = children.get("model") if isinstance(children, Mapping) else None
    return None


def _class_names(names: object) -> Iterator[tuple[int, str]]:
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if isinstance(names, Mapping):
        yield from ((key, str(name)) for key, name in names.items() if isinstance(key, int))
