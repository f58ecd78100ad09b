"""Opens the network of `lightly export`."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import nn

from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.backbone import BackboneConfig, NetworkConfig
from lightly_core.config.options.export import ExportConfig
from lightly_core.config.options.fields import plain, settings_fields
from lightly_core.contracts.format import ExportedNetwork, Preprocessing
from lightly_core.engine.lock import in_use_message
from lightly_core.errors import ConfigError
from lightly_core.evaluation.backbone import Backbone, open_backbone
from lightly_core.models.embedding import EmbeddingWrapper
from lightly_core.plugins.catalog import Catalog
from lightly_core.version import __version__

log = logging.getLogger(__name__)

_BEST = Path("exported_models") / "exported_best.safetensors"


def open_network(config: ExportConfig, part: str, catalog: Catalog) -> ExportedNetwork:
    """Open the network that the settings name, on the CPU.

    Args:
        config: Checked settings.
        part: The part to write.
        catalog: Names of the installed plugins.

    Raises:
        ConfigError: There is no such network, or it cannot be built.
        PluginError: The plugin that provides it cannot be used.
    """
    settings = {field.name: getattr(config, field.name) for field in settings_fields(NetworkConfig)}
    settings["model"] = _source(config)
    if config.model is None:
        settings["checkpoint"] = None
    backbone = open_backbone(
        BackboneConfig(**settings, accelerator="cpu", num_workers=0), catalog, with_embedding=True
    )
    module = cast(nn.Module, backbone.wrapper)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in backbone.trainable)
    built = backbone.model
    arguments = dict(built.model_args)
    if built.library is not None and built.library.loads_weights:
        arguments.pop("weights", None)  # Of the file that was opened.
    network = ExportedNetwork(
        part=part,
        wrapper=built.wrapper,
        embedding=backbone.wrapper,
        library=built.library,
        name=built.name,
        model_args=arguments,
        preprocessing=_preprocessing(backbone),
    )
    return replace(network, facts=_facts(network, backbone))


def _source(config: ExportConfig) -> object:
    """Return the network to open: a path, a name or an object."""
    if config.model is None:
        return config.checkpoint
    if not isinstance(config.model, str):
        return config.model
    folder = Path(config.model).expanduser()
    if folder.is_dir() and (message := in_use_message(folder)) is not None:
        log.info(
            "The run has not ended, so its newest exported weights are taken: %s",
            message.partition(";")[0],
        )
    if not config.best:
        return config.model
    best = folder / _BEST
    if not best.is_file():
        raise ConfigError(
            f"config.best: '{folder}' has no {_BEST}; a run writes it if "
            "callbacks.model_checkpoint.monitor is set; remove best for the last weights"
        )
    return str(best)


def _preprocessing(backbone: Backbone) -> Preprocessing:
    transform = backbone.transform
    mean, std = transform.mean, transform.std
    if transform.kept is not None:
        mean, std = ([values[index] for index in transform.kept] for values in (mean, std))
    return Preprocessing(
        size=transform.size,
        mean=tuple(mean),
        std=tuple(std),
        interpolation=transform.interpolation,
        num_channels=transform.num_channels,
        value_range=backbone.value_range,
    )


def _facts(network: ExportedNetwork, backbone: Backbone) -> dict[str, str]:
    """Return metadata with the keys that a run writes, see `lightly_core.engine.build.metadata`."""
    transform, embedding = backbone.transform, network.embedding
    has_layer = network.part == "embedding_model" and isinstance(embedding, EmbeddingWrapper)
    arguments = plain(without_secrets(network.model_args))
    return {
        "format": "pt",  # Some libraries require it.
        "lightly_core_version": __version__,
        "model": network.title,
        "part": network.part,
        "method": backbone.metadata.get("method", ""),
        "num_input_channels": str(network.preprocessing.num_channels),
        "num_channels": str(network.preprocessing.num_channels),
        "image_size": "x".join(map(str, transform.size)),
        "mean": " ".join(map(str, transform.mean)),
        "std": " ".join(map(str, transform.std)),
        "interpolation": transform.interpolation,
        "channel_drop": backbone.metadata.get("channel_drop", ""),
        "value_range": " ".join(map(str, network.preprocessing.value_range or ())),
        "model_args": json.dumps(arguments) if network.model_args else "",
        "embed_dim": str(embedding.feature_dim()) if has_layer else "",
    }
