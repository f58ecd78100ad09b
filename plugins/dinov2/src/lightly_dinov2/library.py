"""DINOv2's models by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lightly_core.contracts import ModelLibrary
from lightly_core.download import fetch
from lightly_core.errors import UnknownModelError
from lightly_core.export.weights import read_weights
from lightly_core.parts.files import save_torch
from lightly_dinov2.layout import from_meta, to_meta
from lightly_dinov2.models import MODELS, SIZE_OF_WIDTH, Model
from lightly_dinov2.positions import interpolate_positions
from lightly_timm.published import (
    build,
    load_complete,
    same_tensors,
    split_arguments,
    transformer_reason,
)
from lightly_timm.tokens import TimmTokenWrapper
from lightly_timm.wrapper import TimmWrapper, wrap_timm

#: Side in pixels of the images that Meta's weights were trained for at the end: a grid of 37 x 37.
NATIVE_SIZE = 518


class DINOv2Library(ModelLibrary):
    """DINOv2's vision transformers, built by timm.

    `model_args` go to timm's ``VisionTransformer`` (``drop_path_rate``, ``img_size``, ...), beside
    ``weights``: path or URL of a file in Meta's layout or in timm's. Without it the models start
    from Meta's published weights, those named ``-notpretrained`` from random ones.
    """

    examples: ClassVar[Sequence[str]] = ("vits14-notpretrained", "vits14-noreg-notpretrained")
    loads_weights: ClassVar[bool] = True

    def names(self) -> Sequence[str]:
        """Return the names of all models."""
        return tuple(MODELS)

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TimmWrapper:
        """Build a model and load its weights, completely or not at all.

        Args:
            name: A size, ``vits14`` to ``vitg14``; with ``-noreg`` without registers, with
                ``-notpretrained`` from random weights.
            num_input_channels: Channels of the images.
            model_args: ``weights``, and arguments of timm's constructor.

        Raises:
            UnknownModelError: There is no such model.
            ConfigError: An argument is wrong, or the weights cannot be fetched or do not fit.
        """
        model = _find(name)
        arguments, weights = split_arguments(model_args)
        module = build(
            model.timm_name,
            VisionTransformer,
            fixed=_fixed(num_input_channels),
            arguments={"img_size": NATIVE_SIZE, **arguments},
            model=f"dinov2/{name}",
        )
        source = weights or model.url
        if source is not None:
            _load(module, source, name)
        return _wrapper(module, num_input_channels)

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TimmWrapper:
        """Wrap a model that was built as `create` builds it.

        Args:
            module: timm's ``VisionTransformer``.
            num_input_channels: C.

        Raises:
            ConfigError: No features can be found in the module.
        """
        if isinstance(module, VisionTransformer):
            return _wrapper(module, num_input_channels)
        return wrap_timm(module, num_input_channels)

    def save(self, module: nn.Module, path: Path) -> None:
        """Write a file that Meta's own code loads strictly."""
        save_torch(to_meta(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Bring tensors from Meta's layout to timm's; see `lightly_dinov2.layout`."""
        return from_meta(tensors, module)

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return code that needs torch and timm only, and says how Meta's code loads the file."""
        load = [
            f"state_dict = torch.load({str(file)!r}, map_location='cpu', weights_only=True)",
            "model.load_state_dict(checkpoint_filter_fn(dict(state_dict), model), strict=True)",
        ]
        start = [
            "import timm",
            "import torch",
            "from timm.models.vision_transformer import checkpoint_filter_fn",
            "",
        ]
        if name is None:
            return "\n".join([*start, "# model: built in the same way as for the run", *load])
        model = _find(name)
        arguments, _ = split_arguments(model_args)
        given = {"img_size": NATIVE_SIZE, **arguments, **_fixed(num_input_channels)}
        call = ", ".join([repr(model.timm_name), *(f"{k}={v!r}" for k, v in given.items())])
        if same_tensors(arguments):
            load += _hub_lines(model, num_input_channels)
        return "\n".join([*start, f"model = timm.create_model({call})", *load])


def _find(name: str) -> Model:
    if name in MODELS:
        return MODELS[name]
    near = get_close_matches(name, MODELS, n=3)
    hint = f"did you mean {' or '.join(near)}?  " if near else ""
    raise UnknownModelError(f"DINOv2 has no model {name!r}\n  {hint}known: {', '.join(MODELS)}")


def _fixed(num_input_channels: int) -> dict[str, object]:
    """Return the constructor's arguments that are not the user's."""
    return {
        "in_chans": num_input_channels,
        "num_classes": 0,
        "global_pool": "token",
        "dynamic_img_size": True,
    }


def _hub_lines(model: Model, num_input_channels: int) -> list[str]:
    """Return comments that say how Meta's own code loads the file."""
    channels = "" if num_input_channels == 3 else f", in_chans={num_input_channels}"
    call = f"'facebookresearch/dinov2', {model.hub_name!r}, pretrained=False{channels}"
    return [
        "",
        "# The file is in Meta's layout, so their own code loads it as well:",
        f"# model = torch.hub.load({call})",
        "# model.load_state_dict(state_dict, strict=True)",
        f"# At {NATIVE_SIZE} pixels both give the same. For other sizes they interpolate positions",
        "# in different ways, and training used Meta's.",
    ]


def _wrapper(module: nn.Module, num_input_channels: int) -> TimmTokenWrapper:
    registers = getattr(module, "reg_token", None) is not None
    resample = partial(interpolate_positions, registers=registers)
    return TimmTokenWrapper(module, num_input_channels, resample_positions=resample)


def _load(module: nn.Module, source: str, name: str) -> None:
    """Load a file into a model completely, or raise and say why it does not fit."""
    model = f"dinov2/{name}"
    file = fetch(source, what=f"weights of {model}")
    tensors = read_weights(file)
    translated = from_meta(tensors, module)
    widths = {width: f"dinov2/{size}" for width, size in SIZE_OF_WIDTH.items()}
    reason = transformer_reason(translated, module, model=model, widths=widths)
    if "rope_embed.periods" in tensors or "storage_tokens" in tensors:
        reason = "this file is of DINOv3; use a model of dinov3/"
    elif reason is not None and "registers" in reason:
        reason += f"\n  use dinov2/{_other_registers(name)}"
    load_complete(module, translated, file=file.name, model=model, reason=reason)


def _other_registers(name: str) -> str:
    """Return the name of the same model with registers instead of without, or the reverse."""
    size, *rest = name.split("-")
    without = "noreg" in rest
    kept = [part for part in rest if part != "noreg"]
    return "-".join([size, *([] if without else ["noreg"]), *kept])
