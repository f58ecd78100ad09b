"""DINOv2's models by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel
from lightly_core.parts.files import save_torch
from lightly_dinov2.huggingface import to_huggingface
from lightly_dinov2.layout import from_meta, to_meta
from lightly_dinov2.models import MODELS, SIZE_OF_WIDTH, Model
from lightly_dinov2.positions import interpolate_positions
from lightly_timm.meta import MetaLibrary
from lightly_timm.published import transformer_reason
from lightly_timm.tokens import TimmTokenWrapper
from lightly_timm.wrapper import TimmWrapper
from lightly_timm.wrapping import wrap_timm

#: Side in pixels of the images in the last phase of Meta's training: a grid of 37 x 37 patches.
NATIVE_SIZE = 518


class DINOv2Library(MetaLibrary[Model]):
    """DINOv2's vision transformers, built by timm.

    Names are a size, ``vits14`` to ``vitg14``; with ``-noreg`` without registers, with
    ``-notpretrained`` from random weights.

    `model_args` go to timm's ``VisionTransformer`` (``drop_path_rate``, ``img_size``, ...), except
    ``weights``: path or URL of a file in Meta's layout or in timm's. Without it the models start
    from Meta's published weights.
    """

    examples: ClassVar[Sequence[str]] = ("vits14-notpretrained", "vits14-noreg-notpretrained")
    prefix: ClassVar[str] = "dinov2"
    title: ClassVar[str] = "DINOv2"
    models = MODELS
    hub_notes: ClassVar[Sequence[str]] = (
        f"# At {NATIVE_SIZE} pixels both give the same. For other sizes they interpolate positions",
        "# in different ways, and training used Meta's.",
    )

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TimmWrapper:
        """Wrap a model that was built as `create` builds it.

        Args:
            module: timm's ``VisionTransformer``.
            num_input_channels: C.

        Raises:
            ConfigError: No features can be found in the module.
        """
        if not isinstance(module, VisionTransformer):
            return wrap_timm(module, num_input_channels)
        registers = getattr(module, "reg_token", None) is not None
        resample = partial(interpolate_positions, registers=registers)
        return TimmTokenWrapper(module, num_input_channels, resample_positions=resample)

    def save(self, module: nn.Module, path: Path) -> None:
        """Write a file that Meta's own code loads strictly."""
        save_torch(to_meta(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Convert tensors from Meta's layout to timm's; see `lightly_dinov2.layout`."""
        return from_meta(tensors, module)

    def family(self, model: Model | None) -> type[nn.Module]:
        """Return ``VisionTransformer``, the class of all models."""
        return VisionTransformer

    def fixed_arguments(self, model: Model, num_input_channels: int) -> dict[str, object]:
        """Return the arguments of the constructor that users may not set."""
        return {
            "in_chans": num_input_channels,
            "num_classes": 0,
            "global_pool": "token",
            "dynamic_img_size": True,
        }

    def default_arguments(self, model: Model) -> dict[str, object]:
        """Return the native image size."""
        return {"img_size": NATIVE_SIZE}

    def to_huggingface(self, network: ExportedNetwork) -> HuggingFaceModel:
        """Convert to the layout of transformers; see `lightly_dinov2.huggingface`."""
        return to_huggingface(network)

    def source(self, name: str, model: Model) -> str | None:
        """Return Meta's URL, None for a model with random weights."""
        return model.url

    def load_lines(self, model: Model | None) -> Sequence[str]:
        """Return code that loads ``state_dict`` into ``model``."""
        return (
            "model.load_state_dict(checkpoint_filter_fn(dict(state_dict), model), strict=True)",
        )

    def mismatch(
        self,
        tensors: Mapping[str, Tensor],
        translated: Mapping[str, Tensor],
        module: nn.Module,
        name: str,
    ) -> str | None:
        """Find the likely reason why a file does not fit; see `MetaLibrary.mismatch`."""
        if "rope_embed.periods" in tensors or "storage_tokens" in tensors:
            return "this file is of DINOv3; use a model of dinov3/"
        widths = {width: f"dinov2/{size}" for width, size in SIZE_OF_WIDTH.items()}
        reason = transformer_reason(translated, module, model=f"dinov2/{name}", widths=widths)
        if reason is not None and "registers" in reason:
            reason += f"\n  use dinov2/{_other_registers(name)}"
        return reason


def _other_registers(name: str) -> str:
    """Return the name of the same model with registers instead of without, or the reverse."""
    size, *rest = name.split("-")
    without = "noreg" in rest
    kept = [part for part in rest if part != "noreg"]
    return "-".join([size, *([] if without else ["noreg"]), *kept])
