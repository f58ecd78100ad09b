"""Model descriptions of ultralytics (its ``.yaml`` files) and models built from them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lightly_core.errors import ConfigError
from lightly_ultralytics.upstream import quietly, upstream

Config = dict[str, Any]

# ultralytics evaluates this text as Python code, so nothing else may get there.
_ACTIVATION = re.compile(r"(torch\.)?nn\.[A-Za-z0-9]+\([\w\s.,=+-]*\)")


def read_config(file: str | Path, what: str) -> Config:
    """Read a ``.yaml`` file; the scale in its name is found as ultralytics does it.

    Args:
        file: A path, or the name of a file that comes with ultralytics: ``yolo11s-seg.yaml``.
        what: What the user gave, for messages.

    Raises:
        ConfigError: It does not describe a model.
        FileNotFoundError: There is no such file.
    """
    try:
        with quietly():
            config = upstream("ultralytics.nn.tasks").yaml_model_load(str(file))
    except (ValueError, AssertionError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ConfigError(f"{what} cannot be read: {error}") from error
    assert isinstance(config, dict)
    return config


def use_scale(config: Config, scale: str, what: str) -> None:
    """Choose one of the sizes that a description has.

    Raises:
        ConfigError: It has no such size.
    """
    scales = config.get("scales")
    known = list(scales) if isinstance(scales, Mapping) else []
    if scale not in known:
        listed = f"it has {', '.join(map(str, known))}" if known else "it has no scales"
        raise ConfigError(f"model_args.scale: {what} has no scale {scale!r}\n  {listed}")
    config["scale"] = scale


def task_of(config: Config) -> str:
    """Return what the head does, in the words of ultralytics: ``detect``, ``segment``, ..."""
    with quietly():
        task = upstream("ultralytics.nn.tasks").guess_model_task(config)
    # Older versions know no task for the head of RT-DETR.
    return str(task or "detect")


def is_rtdetr(config: Config) -> bool:
    """Return whether ultralytics handles the model by its class RTDETR instead of YOLO."""
    return "RTDETR" in str(config["head"][-1][2])


def build(config: Config, num_input_channels: int, what: str) -> nn.Module:
    """Make a model with random weights.

    Args:
        config: Its description; not changed.
        num_input_channels: C.
        what: What the user gave, for messages.

    Raises:
        ConfigError: ultralytics cannot make it, or not for this number of channels.
    """
    config = copy.deepcopy(config)
    check_config(config, what)
    model = _construct(config, num_input_channels, what)
    taken = input_channels(model)
    if taken != num_input_channels:
        # Some descriptions have the number of channels as first argument of the first layer.
        arguments = config["backbone"][0][3]
        if arguments and arguments[0] == taken:
            arguments[0] = num_input_channels
            model = _construct(config, num_input_channels, what)
    if input_channels(model) != num_input_channels:
        raise ConfigError(
            f"{what} takes images of {taken} channels only, {num_input_channels} were requested\n"
            "  use another model, or images with that many channels"
        )
    return model


def input_channels(model: nn.Module) -> int:
    """Return the number of channels that a model takes: that of its first convolution."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    raise ConfigError(f"{type(model).__name__} has no 2D convolution that could take images")


def check_config(config: Config, what: str) -> None:
    """Refuse a description that would make ultralytics do more than build layers.

    ultralytics resolves names among all its functions and evaluates one text as code. A description
    may come from an untrusted file.

    Raises:
        ConfigError: This does not describe a model, or a row names something other than a layer.
    """
    for part in ("backbone", "head"):
        rows = config.get(part)
        if not (isinstance(rows, list) and rows and all(_is_row(row) for row in rows)):
            raise ConfigError(
                f"{what} does not describe a model\n  expected lists 'backbone' and 'head' with "
                "rows such as [-1, 1, Conv, [64, 3, 2]]"
            )
        for row in rows:
            if not _names_layer(row[2]):
                raise ConfigError(
                    f"{what}: {row[2]!r} in '{part}' is no layer that the installed ultralytics "
                    f"{upstream('ultralytics').__version__} knows\n  upgrade ultralytics if the "
                    "model is newer"
                )
    activation = config.get("activation")
    if activation is not None and not _ACTIVATION.fullmatch(str(activation).strip()):
        raise ConfigError(
            f"{what}: activation {activation!r} is not understood\n  expected a module of "
            "torch.nn, such as torch.nn.ReLU()"
        )


def _is_row(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 4
        and isinstance(row[2], str)
        and isinstance(row[3], list)
    )


def _names_layer(name: str) -> bool:
    tasks = upstream("ultralytics.nn.tasks")
    place: Any = tasks
    for prefix, module in (("nn.", nn), ("torchvision.ops.", None)):
        if name.startswith(prefix):
            place = module or upstream("torchvision.ops")
            name = name[len(prefix) :]
    found = getattr(place, name, None)
    return (
        isinstance(found, type)
        and issubclass(found, nn.Module)
        # A whole model inside another would be built from a description of its own.
        and not issubclass(found, tasks.BaseModel)
        # "Silence" of the first YOLOv9 files became nn.Identity, which ultralytics sees to.
    ) or (place is tasks and name == "Silence")


def _construct(config: Config, num_input_channels: int, what: str) -> nn.Module:
    models = upstream("ultralytics.models")
    # The library's table maps tasks to classes. The property does not use its instance.
    if any(word in str(config["head"][-1][2]) for word in ("World", "YOLOE")):
        raise ConfigError(
            f"{what} needs a text prompt for every image, which pretraining does not have\n  use a "
            "detection model of the same size"
        )
    table = (models.RTDETR if is_rtdetr(config) else models.YOLO).task_map.fget(None)
    task = task_of(config)
    config = copy.deepcopy(config)
    # The name of this entry differs between versions; all of them keep both.
    config["channels"] = config["ch"] = num_input_channels
    try:
        with quietly():
            model = table[task]["model"](config, ch=num_input_channels, verbose=False)
    except Exception as error:  # Layers raise anything when arguments do not suit them.
        raise ConfigError(
            f"ultralytics cannot build {what}: {type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error
    model.task = task
    model.args = {"task": task}
    assert isinstance(model, nn.Module)
    return model
