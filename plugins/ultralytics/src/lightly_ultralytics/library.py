"""Ultralytics' models by name or file, and models of ultralytics that the user built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from lightly_core.contracts import ModelLibrary
from lightly_core.errors import ConfigError
from lightly_core.exporting.snippets import BUILT_AS_FOR_THE_RUN
from lightly_ultralytics.checkpoint import PICKLED_MODULES, read_checkpoint
from lightly_ultralytics.description import build, input_channels, is_rtdetr, use_scale
from lightly_ultralytics.files import build_from_weights, find_config, find_weights, unknown_name
from lightly_ultralytics.graph import layers_of
from lightly_ultralytics.names import model_names
from lightly_ultralytics.options import read_options
from lightly_ultralytics.saving import save_checkpoint
from lightly_ultralytics.wrapper import UltralyticsWrapper, wrap_ultralytics


class UltralyticsLibrary(ModelLibrary):
    """YOLO and RT-DETR: ``.yaml`` for random weights, ``.pt`` for those of a file.

    `model_args`:

    - ``train_neck`` (bool): compute the features by everything up to the head, see
      `lightly_ultralytics.wrapper.NeckWrapper`;
    - ``nc`` (int): number of classes of the head, which is not pretrained;
    - ``scale`` (str): size of a ``.yaml`` model whose name does not contain it.
    """

    examples = ("yolov8n.yaml", "yolo11n-cls.yaml")
    pickled_modules = PICKLED_MODULES

    def names(self) -> Sequence[str]:
        """Return the models that come with ultralytics and those that it publishes."""
        return model_names()

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> UltralyticsWrapper:
        """Build a model.

        Args:
            name: ``yolo11n.yaml``, ``yolo11n.pt``, or the path of such a file.
            num_input_channels: C.
            model_args: See the class.

        Raises:
            UnknownModelError: ultralytics has no such model, and there is no such file.
            ConfigError: An argument is wrong, or a file cannot be read or fetched.
        """
        what = f"ultralytics/{name}"
        options = read_options(model_args, what)
        suffix = Path(name).suffix.lower()
        if suffix in (".yaml", ".yml"):
            config = find_config(name)
            if options.scale is not None:
                use_scale(config, options.scale, what)
            if options.nc is not None:
                config["nc"] = options.nc
            model = build(config, num_input_channels, what)
        elif suffix == ".pt":
            if options.scale is not None:
                raise ConfigError(f"model_args.scale: {what} has the size of its weights")
            model = build_from_weights(find_weights(name), num_input_channels, options.nc)
        else:
            raise unknown_name(name)
        return wrap_ultralytics(model, num_input_channels, train_neck=options.train_neck)

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> UltralyticsWrapper:
        """Wrap a YOLO or RTDETR object, or its ``.model``.

        ultralytics freezes the weights of a ``.pt`` file. Where all parameters of the backbone are
        frozen, they are made trainable. Where only some are, this was the user's choice and is
        kept.

        Args:
            module: The object; the model in it is not copied.
            num_input_channels: C.

        Raises:
            ConfigError: It holds no model that can be trained, or takes another number of
                channels.
        """
        model = getattr(module, "model", None)
        if isinstance(model, str):
            raise ConfigError(
                f"{type(module).__name__}({model!r}) is an exported model that cannot be trained"
                "\n  use the .pt file that it was exported from"
            )
        # A YOLO object holds the model, whose layers are called "model" again.
        if isinstance(model, nn.Module) and hasattr(model, "model"):
            module = model
        layers_of(module)
        _refuse_fused(module)
        taken = input_channels(module)
        if taken != num_input_channels:
            raise ConfigError(
                f"this {type(module).__name__} takes images of {taken} channels, but "
                f"{num_input_channels} were requested\n  name it by its file "
                "(ultralytics/path/to/best.pt), which adapts the first layer, or set "
                f"{taken} (num_input_channels, or transform_args.num_channels in a run)"
            )
        wrapper = wrap_ultralytics(module, num_input_channels)
        _unfreeze(wrapper)
        return wrapper

    def save(self, module: nn.Module, path: Path) -> None:
        """Write the file that ``YOLO(path)`` loads; see `save_checkpoint`."""
        save_checkpoint(module, path)

    def building_code(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> Sequence[str]:
        """Return lines that build the model with ultralytics alone, for three channels."""
        is_config = name.endswith((".yaml", ".yml"))
        if not is_config or num_input_channels != 3 or set(model_args) - {"train_neck"}:
            return (BUILT_AS_FOR_THE_RUN,)
        facade = "RTDETR" if _wants_rtdetr(name, Path(name)) else "YOLO"
        return (f"from ultralytics import {facade}", f"model = {facade}({name!r}).model")

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return code that needs ultralytics only; see `ModelLibrary.snippet`."""
        facade = "RTDETR" if _wants_rtdetr(name, file) else "YOLO"
        lines = [f"from ultralytics import {facade}", "", f"model = {facade}({str(file)!r})"]
        channels = ""
        if num_input_channels != 3:
            channels = f"; it must contain channels: {num_input_channels}"
        lines.append(f'# model.train(data="your_data.yaml", epochs=100){channels}')
        return "\n".join(lines)


def _wants_rtdetr(name: str | None, file: Path) -> bool:
    if file.is_file():
        return is_rtdetr(read_checkpoint(file).config)
    if name is not None and name.endswith((".yaml", ".yml")):
        return is_rtdetr(find_config(name))
    return False


def _refuse_fused(model: nn.Module) -> None:
    for module in model.modules():
        # Fusing replaces the function of single modules.
        own = vars(module).get("forward")
        if getattr(own, "__name__", "") == "forward_fuse":
            raise ConfigError(
                f"this {type(model).__name__} was fused for inference: its batch norms are gone, "
                "so it cannot be pretrained\n  load it again, and do not call fuse() or val() "
                "before"
            )


def _unfreeze(wrapper: UltralyticsWrapper) -> None:
    used = list(wrapper.used_parameters())
    if not any(parameter.requires_grad for parameter in used):
        for parameter in used:
            parameter.requires_grad_(True)
