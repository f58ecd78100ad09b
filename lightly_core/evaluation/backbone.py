"""Opens a run, an exported file or a model's name as a network that computes features."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from lightly_core.config.auto.machine import usable_cpus
from lightly_core.config.options.augmentations import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChannelDropArgs,
    NormalizeArgs,
    pair,
)
from lightly_core.config.options.backbone import BackboneConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.structure import structure
from lightly_core.contracts import ModelLibrary, ModelWrapper
from lightly_core.contracts.capabilities import InputNormalization
from lightly_core.data.base import ImageSource
from lightly_core.data.views.two_stage import EvalTransform, eval_size
from lightly_core.errors import ConfigError, UnknownModelError
from lightly_core.evaluation.features import extract_features
from lightly_core.evaluation.files import ModelFile, find_described_file, find_model_file
from lightly_core.exporting.weights import load_weights
from lightly_core.models.embedding import embed
from lightly_core.models.probing import probe
from lightly_core.models.trainable import backbone_modes
from lightly_core.models.unwrapping import unwrapped
from lightly_core.models.wrapping import BuiltModel, build_model
from lightly_core.parts.state import state_digest
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_target

T = TypeVar("T")

log = logging.getLogger(__name__)

_DEFAULT_SIZE = 224
_MAX_AUTO_WORKERS = 8
_AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Backbone:
    """A frozen network on its device, and the transform of its images.

    Attributes:
        model: The backbone with its library.
        wrapper: Computes the features: the backbone, or the backbone with the layer of
            ``embed_dim``.
        name: Name to show to users.
        file: The file of its weights; None if none was read.
        transform: Converts an image to the network's input.
        device: Device of the network.
        precision: Type for autocast; None: that of the weights.
        batch_size: Images per forward.
        num_workers: Processes that read images.
        trainable: Names of the wrapper's parameters that were not frozen when it was opened.
        value_range: Pixel values that become black and white, see `TransformArgs`.
        modes: Train or eval mode of each part during fine-tuning, see
            `lightly_core.models.trainable.backbone_modes`.
        metadata: Metadata of the file of weights, empty if there is none.
    """

    model: BuiltModel
    wrapper: ModelWrapper
    name: str
    file: Path | None
    transform: EvalTransform
    device: torch.device
    precision: torch.dtype | None
    batch_size: int
    num_workers: int
    trainable: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    modes: Mapping[str, bool] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels_last(self) -> bool:
        """Whether images are passed in channels-last memory format."""
        return self.device.type != "mps"

    def checksum(self) -> str:
        """Return the first 16 hexadecimal digits of the sha256 of the weights."""
        return state_digest(self.wrapper.state_dict())[:16]

    def facts(self) -> dict[str, object]:
        """Return the facts about the network that a result must contain."""
        height, width = self.transform.size
        return {
            "model": self.name,
            "file": None if self.file is None else self.file.name,
            "checksum": self.checksum(),
            "feature_dim": self.wrapper.feature_dim(),
            "image_size": [height, width],
            "mean": list(self.transform.mean),
            "std": list(self.transform.std),
            **({} if self.value_range is None else {"value_range": list(self.value_range)}),
            "precision": "32-true" if self.precision is None else str(self.precision),
        }

    def open_source(self, data: str | list[str] | PythonObject) -> ImageSource:
        """Open images with the number of channels that the transform expects.

        To save time, JPEGs may be shrunk while they are decoded, down to twice the size to which
        they are resized. The antialiased resizing that follows gives nearly the same result.

        Args:
            data: As in `lightly_core.data.sources.open_source`.

        Raises:
            DataError: There are no images.
        """
        from lightly_core.data.sources import open_source

        side = max(eval_size(self.transform.size, self.transform.size))
        return open_source(
            data,
            num_channels=self.transform.source_channels,
            min_side=2 * side,
            value_range=self.value_range,
        )

    def features(
        self, source: ImageSource, indices: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the pooled features of images.

        Args:
            source: The images.
            indices: Positions in the source; None: all.

        Returns:
            Features (N, D) float32 and the images' positions (N,) int64, both on the CPU; images
            that cannot be read are missing.
        """
        from lightly_core.data.dataset import build_eval_loader

        chosen = range(len(source)) if indices is None else indices
        loader = build_eval_loader(
            source,
            chosen,
            self.transform,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )
        return extract_features(
            self.wrapper,
            loader,
            self.transform,
            self.device,
            precision=self.precision,
            channels_last=self.channels_last,
            total=len(chosen),
        )


def open_backbone(
    config: BackboneConfig, catalog: Catalog, *, with_embedding: bool = False
) -> Backbone:
    """Build the network that the settings name, with its weights, in eval mode.

    Args:
        config: The settings.
        catalog: Names of the installed plugins.
        with_embedding: Whether to apply the layer of ``embed_dim`` if the file has one.

    Raises:
        ConfigError: There is no such file or model, its weights do not fit, or a file does not
            contain the name of its network.
        PluginError: The plugin that provides the model cannot be used.
        UnknownModelError: No installed plugin provides the name.
    """
    file = find_model_file(config.model) if isinstance(config.model, str) else None
    if file is not None and config.checkpoint is not None:
        raise ConfigError(
            f"config.checkpoint: '{config.model}' already has weights; remove checkpoint, or give "
            "it with a model's name or a module"
        )
    weights_file = file if config.checkpoint is None else find_described_file(config.checkpoint)
    facts: Mapping[str, str] = weights_file.facts if weights_file is not None else {}
    channels = config.num_channels or int(facts.get("num_channels") or 3)
    with _seeded(config.seed):
        built = _build(config, file, facts, catalog, channels)
        wrapper = built.wrapper
        if with_embedding and facts.get("embed_dim"):
            wrapper = embed(wrapper, int(facts["embed_dim"]))
    weights = _load_weights(config, file, built)
    if wrapper is not built.wrapper and weights_file is not None:
        weights_file.load_embedding(wrapper)
    if weights is None and isinstance(config.model, str):
        _warn_if_random(config, catalog, built)
    transform = _transform(config, facts, built.wrapper, channels)
    device = _device(config.accelerator)
    module = cast(nn.Module, wrapper)
    trainable = tuple(name for name, p in module.named_parameters() if p.requires_grad)
    modes = backbone_modes(wrapper)
    module.eval().requires_grad_(False).to(device)
    probe(wrapper, channels, transform.size)
    if device.type != "mps":
        module.to(memory_format=torch.channels_last)
    return Backbone(
        model=built,
        wrapper=wrapper,
        name=built.name or type(built.wrapper.get_model()).__name__,
        file=weights,
        transform=transform,
        device=device,
        precision=_AUTOCAST[config.precision],
        batch_size=config.batch_size,
        num_workers=loader_workers(config.num_workers, usable_cpus()),
        trainable=trainable,
        value_range=config.value_range or _value_range(facts),
        modes=modes,
        metadata=facts,
    )


def _build(
    config: BackboneConfig,
    file: ModelFile | None,
    facts: Mapping[str, str],
    catalog: Catalog,
    channels: int,
) -> BuiltModel:
    """Build the model without the weights of `file`.

    Args:
        config: The settings.
        file: The file that `config.model` refers to; None for a name or an object.
        facts: Metadata of the file of weights.
        catalog: Names of the installed plugins.
        channels: Channels of an image.
    """
    if isinstance(config.model, PythonObject):
        return build_model(
            _copied(config.model.value),
            catalog=catalog,
            num_input_channels=channels,
            model_args=config.model_args,
        )
    name = config.model if file is None else file.model_name()
    try:
        library = _library(catalog, name)
    except UnknownModelError as error:
        if file is not None:
            raise
        raise UnknownModelError(f"{error}\n  nor is there a file or folder '{name}'") from error
    arguments: dict[str, Any] = {}
    if facts.get("model") == name:
        stored = json.loads(facts.get("model_args") or "{}")
        arguments = {key: value for key, value in stored.items() if key not in library.weight_args}
    arguments.update(config.model_args or {})
    if file is not None and library.loads_weights:
        arguments["weights"] = str(file.native or file.path)
    return build_model(name, catalog=catalog, num_input_channels=channels, model_args=arguments)


def _copied(model: T) -> T:
    """Copy the user's module, so that the original is not moved, frozen or overwritten."""
    if isinstance(model, nn.Module):
        model = cast(T, unwrapped(model))  # compiled code cannot be copied
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a module may hold anything
        raise ConfigError(
            f"config.model: the {type(model).__name__} cannot be copied: {error}"
            "\n  pass a newly built module"
        ) from error


def _warn_if_random(config: BackboneConfig, catalog: Catalog, built: BuiltModel) -> None:
    """Warn if a model's name alone loads no trained weights, which is easily overlooked."""
    library = _library(catalog, str(built.name))
    if library.loads_weights or any(built.model_args.get(name) for name in library.weight_args):
        return
    # Some libraries load weights by default. Then the weights of two seeds are equal.
    with _seeded(config.seed + 1):
        other = _build(config, None, {}, catalog, built.num_input_channels)
    pairs = zip(built.wrapper.parameters(), other.wrapper.parameters(), strict=True)
    differing = sum(own.numel() for own, second in pairs if not torch.equal(own, second))
    if 2 * differing > sum(parameter.numel() for parameter in built.wrapper.parameters()):
        log.warning(
            "The weights of %s are random; for trained ones set checkpoint, or the model_args "
            "that the plugin's page describes.",
            built.name,
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch for random weights, and restore its random state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _library(catalog: Catalog, name: str) -> type[ModelLibrary]:
    record, _ = catalog.model(name)
    library: type[ModelLibrary] = load_target(record)  # type: ignore[assignment]
    return library


def _load_weights(config: BackboneConfig, file: ModelFile | None, built: BuiltModel) -> Path | None:
    """Load the weights and return the file; None if there is no file to load."""
    if file is not None:
        load_weights(
            built.wrapper,
            file.path,
            strict=not (file.is_checkpoint or file.has_layer),
            library=built.library,
        )
        return file.path
    if config.checkpoint is None:
        return None
    load_weights(built.wrapper, config.checkpoint, library=built.library)
    return Path(config.checkpoint)


def _transform(
    config: BackboneConfig, facts: Mapping[str, str], wrapper: ModelWrapper, channels: int
) -> EvalTransform:
    mean, std = _normalization(config, facts, wrapper)
    dropped = facts.get("channel_drop")
    size = config.image_size or _size(facts.get("image_size", ""))
    try:
        normalize = NormalizeArgs(mean=mean, std=std)
    except ValueError as error:
        raise ConfigError(f"config.mean and config.std: {error}") from error
    return EvalTransform(
        pair(size),
        normalize,
        channels,
        facts.get("interpolation") or "bicubic",
        structure(json.loads(dropped), ChannelDropArgs, path="channel_drop") if dropped else None,
    )


def _value_range(facts: Mapping[str, str]) -> tuple[float, float] | None:
    numbers = _numbers(facts.get("value_range", ""))
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _normalization(
    config: BackboneConfig, facts: Mapping[str, str], wrapper: ModelWrapper
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if (config.mean is None) != (config.std is None):
        raise ConfigError("config.mean and config.std: got only one of them; give both or neither")
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    if facts.get("mean") and facts.get("std"):
        return _numbers(facts["mean"]), _numbers(facts["std"])
    if isinstance(wrapper, InputNormalization):
        return wrapper.input_normalization()
    return IMAGENET_MEAN, IMAGENET_STD


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split())


def _size(text: str) -> int | tuple[int, int]:
    if not text:
        return _DEFAULT_SIZE
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _device(accelerator: str) -> torch.device:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if accelerator == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if accelerator == "gpu" and (cuda or mps):
        return torch.device("cuda" if cuda else "mps")
    if accelerator in ("gpu", "cuda") and not cuda:
        raise ConfigError(
            f"config.accelerator: got '{accelerator}', but torch finds no such device; use "
            "accelerator=cpu"
        )
    if accelerator == "mps" and not mps:
        raise ConfigError("config.accelerator: torch finds no 'mps' device; use accelerator=cpu")
    return torch.device(accelerator)


def loader_workers(given: int | str, cpus: int) -> int:
    """Return how many processes read images; "auto": one CPU is left to the network."""
    return int(given) if given != "auto" else max(0, min(cpus - 1, _MAX_AUTO_WORKERS))
