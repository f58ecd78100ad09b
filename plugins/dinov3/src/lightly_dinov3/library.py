"""DINOv3's models by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from torch import Tensor, nn

from lightly_core.contracts import ModelLibrary
from lightly_core.download import cache_folder, fetch
from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.export.weights import read_weights
from lightly_core.parts.files import save_torch
from lightly_dinov3.convnext import DINOv3ConvNeXtWrapper
from lightly_dinov3.layout import PERIODS, from_meta, round_periods, to_meta
from lightly_dinov3.models import (
    DOWNLOAD_PAGE,
    MODELS,
    SIZE_OF_WIDTH,
    Model,
    published_sha256,
)
from lightly_dinov3.snippets import hub_lines, snippet_for_module, snippet_for_name
from lightly_timm.published import (
    build,
    load_complete,
    same_tensors,
    split_arguments,
    transformer_reason,
)
from lightly_timm.wrapper import TimmWrapper, wrap_timm

log = logging.getLogger(__name__)


class DINOv3Library(ModelLibrary):
    """DINOv3's vision transformers and ConvNeXts, built by timm.

    `model_args` go to timm's ``Eva`` or ``ConvNeXt`` (``drop_path_rate``, ...), beside
    ``weights``: path or URL of a file in Meta's layout or in timm's. Without it, a file with
    Meta's name in the cache folder is taken; those named ``-notpretrained``, and ``vitt16`` and
    ``vitt16plus``, which Meta does not publish, start from random weights.
    """

    examples: ClassVar[Sequence[str]] = (
        "vitt16-notpretrained",
        "vitt16plus-notpretrained",
        "convnext-tiny-notpretrained",
    )
    loads_weights: ClassVar[bool] = True

    def names(self) -> Sequence[str]:
        """Return the names of all models."""
        return tuple(MODELS)

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TimmWrapper:
        """Build a model and load its weights, completely or not at all.

        Args:
            name: A size, ``vits16``, ``convnext-tiny``, ...; with ``-notpretrained`` from random
                weights.
            num_input_channels: Channels of the images.
            model_args: ``weights``, and arguments of timm's constructor.

        Raises:
            UnknownModelError: There is no such model.
            ConfigError: An argument is wrong, or the weights are not there or do not fit.
        """
        model = _find(name)
        arguments, weights = split_arguments(model_args)
        source = weights or _cached_file(name, model)
        module = build(
            model.timm_name,
            ConvNeXt if model.is_convnext else Eva,
            fixed=_fixed(model, num_input_channels),
            arguments={**model.arguments, **arguments},
            model=f"dinov3/{name}",
        )
        round_periods(module)
        if source is not None:
            _load(module, source, name)
        elif not name.endswith("-notpretrained"):
            log.info("Weights: dinov3/%s has no published file, it starts at random", name)
        return self.wrap(module, num_input_channels=num_input_channels)

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
        """Bring tensors from Meta's layout to timm's; see `lightly_dinov3.layout`."""
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
        if name is None:
            return snippet_for_module(file)
        model = _find(name)
        arguments, _ = split_arguments(model_args)
        given = {**model.arguments, **arguments, **_fixed(model, num_input_channels)}
        code = snippet_for_name(model, given, file)
        # Meta's functions take neither another number of channels nor another architecture.
        same = num_input_channels == 3 and same_tensors(arguments)
        return code + hub_lines(model) if same else code


def _find(name: str) -> Model:
    if name in MODELS:
        return MODELS[name]
    near = get_close_matches(name, MODELS, n=3)
    hint = f"did you mean {' or '.join(near)}?  " if near else ""
    raise UnknownModelError(f"DINOv3 has no model {name!r}\n  {hint}known: {', '.join(MODELS)}")


def _fixed(model: Model, num_input_channels: int) -> dict[str, object]:
    """Return the constructor's arguments that are not the user's."""
    fixed: dict[str, object] = {"in_chans": num_input_channels, "num_classes": 0}
    if not model.is_convnext:
        fixed |= {"global_pool": "token", "dynamic_img_size": True}
    return fixed


def _cached_file(name: str, model: Model) -> str | None:
    """Return the published file in the cache folder; None where Meta publishes none.

    Raises:
        ConfigError: The file is not there.
    """
    if model.file is None:
        return None
    cached = cache_folder() / "models" / model.file
    if cached.is_file():
        return str(cached)
    raise ConfigError(
        f"dinov3/{name} starts from Meta's weights, {model.file}, which are not at {cached}"
        f"\n  accept Meta's licence at {DOWNLOAD_PAGE} and pass the address that you are sent, or "
        'the path of the downloaded file: model_args={"weights": "..."}'
        f"\n  or use dinov3/{name}-notpretrained to start from random weights"
    )


def _load(module: nn.Module, source: str, name: str) -> None:
    """Load a file into a model completely, or raise and say why it does not fit."""
    model = f"dinov3/{name}"
    file_name = urlsplit(source).path.rpartition("/")[2]
    file = fetch(source, sha256=published_sha256(file_name), what=f"weights of {model}")
    tensors = read_weights(file)
    translated = from_meta(tensors, module)
    load_complete(
        module,
        translated,
        file=file.name,
        model=model,
        reason=_reason(tensors, translated, module, model),
    )


def _reason(
    tensors: Mapping[str, Tensor],
    translated: Mapping[str, Tensor],
    module: nn.Module,
    model: str,
) -> str | None:
    """Guess why a file does not fit; one line, or None."""
    of_convnext = any(name.startswith(("downsample_layers.", "stem.")) for name in tensors)
    if of_convnext != isinstance(module, ConvNeXt):
        kind, own = "another kind of model", "ConvNeXt"
        if of_convnext:
            kind, own = "a ConvNeXt", "vision transformer"
        return f"this file is of {kind}, {model} is a {own}"
    if isinstance(module, ConvNeXt):
        return _convnext_reason(translated, module, model)
    if "pos_embed" in translated:
        return "this file has learned positions; for those of DINOv2 use a model of dinov2/"
    widths = {width: f"dinov3/{size}" for width, size in SIZE_OF_WIDTH.items()}
    reason = transformer_reason(translated, module, model=model, widths=widths)
    if reason is None and any(name.endswith(".qkv.bias") for name in translated):
        return "this file has biases of keys, which DINOv3's models do not have"
    if reason is None and PERIODS in translated:
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
        width = own["head.norm.weight"].shape[0]
        return f"this file is of a ConvNeXt of width {norm.shape[0]}, {model} has width {width}"
    if blocks(tensors) != blocks(own):
        return f"this file has {blocks(tensors)} blocks, {model} has {blocks(own)}"
    return None
