"""DINOv3's models by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from torch import Tensor, nn

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel
from lightly_core.download import cache_folder
from lightly_core.errors import ConfigError
from lightly_core.parts.files import save_torch
from lightly_dinov3.convnext import DINOv3ConvNeXtWrapper
from lightly_dinov3.huggingface import to_huggingface
from lightly_dinov3.layout import PERIODS, from_meta, round_periods, to_meta
from lightly_dinov3.models import (
    DOWNLOAD_PAGE,
    MODELS,
    SIZE_OF_WIDTH,
    Model,
    published_sha256,
)
from lightly_timm.meta import MetaLibrary
from lightly_timm.published import transformer_reason
from lightly_timm.wrapper import TimmWrapper
from lightly_timm.wrapping import wrap_timm

log = logging.getLogger(__name__)

_LOAD = "model.load_state_dict(checkpoint_filter_fn(tensors, model), strict=True)"

# Older versions of timm do not know the second name.
_ONE_NORM = (
    "# Meta's code has the last norm under two names.",
    "tensors = {k: v for k, v in state_dict.items() if not k.startswith('norms.')}",
)
_PERIODS = "model.rope.periods.copy_(state_dict['rope_embed.periods'])"


class DINOv3Library(MetaLibrary[Model]):
    """DINOv3's vision transformers and ConvNeXts, built by timm.

    Names are a size, ``vits16``, ``convnext-tiny``, ...; with ``-notpretrained`` from random
    weights.

    `model_args` go to timm's ``Eva`` or ``ConvNeXt`` (``drop_path_rate``, ...), except
    ``weights``: path or URL of a file in Meta's layout or in timm's. Without it, a file with
    Meta's name in the cache folder is loaded. ``vitt16`` and ``vitt16plus``, which Meta does not
    publish, start from random weights.
    """

    examples: ClassVar[Sequence[str]] = (
        "vitt16-notpretrained",
        "vitt16plus-notpretrained",
        "convnext-tiny-notpretrained",
    )
    prefix: ClassVar[str] = "dinov3"
    title: ClassVar[str] = "DINOv3"
    models = MODELS
    hub_takes_channels: ClassVar[bool] = False

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TimmWrapper:
        """Wrap a model that was built as `create` builds it.

        Args:
            module: timm's ``Eva`` or ``ConvNeXt``.
            num_input_channels: C.

        Raises:
            ConfigError: No features can be found in the module.
        """
        if isinstance(module, ConvNeXt):
            return DINOv3ConvNeXtWrapper(module, num_input_channels)
        return wrap_timm(module, num_input_channels)

    def save(self, module: nn.Module, path: Path) -> None:
        """Write a file that Meta's own code loads strictly."""
        save_torch(to_meta(module), path)

    def translate_weights(
        self, tensors: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, Tensor]:
        """Convert tensors from Meta's layout to timm's; see `lightly_dinov3.layout`."""
        return from_meta(tensors, module)

    def family(self, model: Model | None) -> type[nn.Module] | None:
        """Return timm's class of a model, None for a module that the user built."""
        if model is None:
            return None
        return ConvNeXt if model.is_convnext else Eva

    def fixed_arguments(self, model: Model, num_input_channels: int) -> dict[str, object]:
        """Return the arguments of the constructor that users may not set."""
        fixed: dict[str, object] = {"in_chans": num_input_channels, "num_classes": 0}
        if not model.is_convnext:
            fixed |= {"global_pool": "token", "dynamic_img_size": True}
        return fixed

    def default_arguments(self, model: Model) -> dict[str, object]:
        """Return what differs from timm's architecture."""
        return {**model.arguments}

    def prepare(self, module: nn.Module) -> None:
        """Round the periods of the rotary embedding as in Meta's files."""
        round_periods(module)

    def prepare_lines(self, model: Model) -> Sequence[str]:
        """Return code that does the same as `prepare`."""
        if model.is_convnext:
            return ()
        return (
            "# Meta's files have rounded periods, and timm keeps them out of its state dict:",
            "model.rope.periods.copy_(model.rope.periods.bfloat16())",
        )

    def to_huggingface(self, network: ExportedNetwork) -> HuggingFaceModel:
        """Convert to the layout of transformers; see `lightly_dinov3.huggingface`."""
        return to_huggingface(network)

    def source(self, name: str, model: Model) -> str | None:
        """Return the published file in the cache folder, None for a model with random weights.

        Raises:
            ConfigError: The file is not there.
        """
        if model.file is None:
            if not name.endswith("-notpretrained"):
                log.info("Weights: dinov3/%s has no published file, it starts at random", name)
            return None
        return _cached_file(name, model.file)

    def checksum(self, source: str) -> str | None:
        """Return the first digits of the SHA-256 that a published file has in its name."""
        return published_sha256(urlsplit(source).path.rpartition("/")[2])

    def load_lines(self, model: Model | None) -> Sequence[str]:
        """Return code that loads ``state_dict`` into ``model``."""
        if model is None:
            return (
                *_ONE_NORM,
                _LOAD,
                "if 'rope_embed.periods' in state_dict:  # timm keeps them out of its state dict",
                f"    {_PERIODS}",
            )
        if model.is_convnext:
            return (*_ONE_NORM, _LOAD)
        return (
            "tensors = dict(state_dict)",
            _LOAD,
            "# The rotary embedding's periods, which timm keeps out of its state dict:",
            _PERIODS,
        )

    def mismatch(
        self,
        tensors: Mapping[str, Tensor],
        translated: Mapping[str, Tensor],
        module: nn.Module,
        name: str,
    ) -> str | None:
        """Find the likely reason why a file does not fit; see `MetaLibrary.mismatch`."""
        model = f"dinov3/{name}"
        of_convnext = any(key.startswith(("downsample_layers.", "stem.")) for key in tensors)
        if of_convnext != isinstance(module, ConvNeXt):
            kind, own = "another kind of model", "ConvNeXt"
            if of_convnext:
                kind, own = "a ConvNeXt", "vision transformer"
            return f"this file is of {kind}, {model} is a {own}"
        if isinstance(module, ConvNeXt):
            return _convnext_reason(translated, module, model)
        return _transformer_reason(translated, module, model)


def _cached_file(name: str, file: str) -> str:
    cached = cache_folder() / "models" / file
    if cached.is_file():
        return str(cached)
    raise ConfigError(
        f"dinov3/{name} starts from Meta's weights, {file}, which are not at {cached}"
        f"\n  accept Meta's licence at {DOWNLOAD_PAGE} and pass the address that you are sent, or "
        'the path of the downloaded file: model_args={"weights": "..."}'
        f"\n  or use dinov3/{name}-notpretrained to start from random weights"
    )


def _transformer_reason(tensors: Mapping[str, Tensor], module: nn.Module, model: str) -> str | None:
    if "pos_embed" in tensors:
        return "this file has learned positions; for those of DINOv2 use a model of dinov2/"
    widths = {width: f"dinov3/{size}" for width, size in SIZE_OF_WIDTH.items()}
    reason = transformer_reason(tensors, module, model=model, widths=widths)
    if reason is None and any(name.endswith(".qkv.bias") for name in tensors):
        return "this file has biases of keys, which DINOv3's models do not have"
    if reason is None and PERIODS in tensors:
        return "this file has another rotary embedding: other heads or another rope_temperature"
    return reason


def _convnext_reason(tensors: Mapping[str, Tensor], module: nn.Module, model: str) -> str | None:
    def blocks(names: Mapping[str, Tensor]) -> list[int]:
        return [
            sum(f"stages.{stage}.blocks." in name and name.endswith("gamma") for name in names)
            for stage in range(4)
        ]

    own = module.state_dict()
    norm = tensors.get("head.norm.weight")
    if norm is not None and norm.shape != own["head.norm.weight"].shape:
        dim = own["head.norm.weight"].shape[0]
        kind = f"a ConvNeXt of dimension {norm.shape[0]}"
        return f"this file is of {kind}, {model} has dimension {dim}"
    if blocks(tensors) != blocks(own):
        return f"this file has {blocks(tensors)} blocks, {model} has {blocks(own)}"
    return None
