"""The folder that ``timm.create_model("local-dir:PATH", pretrained=True)`` loads.

transformers wraps models of timm, and reads the same folder.
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import timm
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from lightly_core.contracts import ExportedNetwork, ExportFormat, HuggingFaceModel, Written
from lightly_core.contracts.format import Outputs
from lightly_core.contracts.outputs import FeatureOutputs
from lightly_core.errors import ConfigError
from lightly_core.parts.state import portable_state_dict
from lightly_timm.building import OWN_ARGUMENTS, SOURCES, build
from lightly_timm.wrapping import wrap_timm

_MARGIN, _PLAIN_BELOW = 256 / 224, 64  # The centre crop of evaluation.


class TimmFolder(ExportFormat):
    """``config.json`` with architecture, arguments and preprocessing, and ``model.safetensors``."""

    def problem(self, network: ExportedNetwork) -> str | None:
        """Refuse what timm cannot build by name."""
        try:
            _arguments(network)
        except ConfigError as error:
            return str(error)
        return None

    def write(self, network: ExportedNetwork, path: Path) -> Written:
        """Write both files."""
        path.mkdir()
        config = json.dumps(folder_config(network), indent=2)
        (path / "config.json").write_text(config + "\n", encoding="utf-8")
        tensors = portable_state_dict(network.wrapper.get_model())
        save_file(tensors, path / "model.safetensors", metadata={**network.facts, "format": "pt"})
        return Written()

    def snippet(self, network: ExportedNetwork, path: Path) -> str:
        """Return code that needs timm only."""
        return "\n".join(
            [
                "import timm",
                "",
                f"model = timm.create_model({f'local-dir:{path}'!r}, pretrained=True).eval()",
                "preprocessing = timm.data.resolve_model_data_config(model)",
                "transform = timm.data.create_transform(**preprocessing)",
            ]
        )

    def reload(self, network: ExportedNetwork, path: Path) -> Outputs:
        """Load the folder with timm."""
        model = timm.create_model(f"local-dir:{path}", pretrained=True)
        return self._features(model, network)

    def expected(self, network: ExportedNetwork) -> Outputs:
        """Return the features of the network, found as for a module of timm."""
        return self._features(network.wrapper.get_model(), network)

    def _features(self, model: nn.Module, network: ExportedNetwork) -> Outputs:
        wrapper = wrap_timm(model.eval(), network.preprocessing.num_channels)
        return FeatureOutputs(wrapper).eval()


def timm_to_huggingface(network: ExportedNetwork) -> HuggingFaceModel:
    """Describe a model of timm for transformers' ``TimmWrapperModel``.

    Raises:
        ConfigError: timm cannot build the model by name.
    """
    config = {**folder_config(network), "model_type": "timm_wrapper"}
    model: Any = network.wrapper.get_model()

    def outputs(images: Tensor) -> tuple[Tensor, ...]:
        features = model.forward_features(images)
        pooled = model.forward_head(features, pre_logits=True)
        return features, cast(Tensor, pooled).flatten(1)

    return HuggingFaceModel(config, portable_state_dict(cast(nn.Module, model)), outputs)


def folder_config(network: ExportedNetwork) -> dict[str, object]:
    """Return the content of ``config.json``.

    Raises:
        ConfigError: timm cannot build the model by name.
    """
    arguments = _arguments(network)
    model = network.wrapper.get_model()
    with tempfile.TemporaryDirectory() as folder:
        # timm itself writes the rest, and nothing but the weights takes long.
        empty = cast(nn.Module, _Empty(model))
        save_for_hf(empty, folder, model_args=arguments, safe_serialization=False)
        config: dict[str, Any] = json.loads((Path(folder) / "config.json").read_text())
    preprocessing = network.preprocessing
    config["model_args"] = arguments
    config["pretrained_cfg"] = {
        **config["pretrained_cfg"],
        "input_size": [preprocessing.num_channels, *preprocessing.size],
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": preprocessing.interpolation,
        "crop_pct": _crop(min(preprocessing.size)),
        "crop_mode": "center" if min(preprocessing.size) >= _PLAIN_BELOW else "squash",
    }
    return config


def _crop(side: int) -> float:
    """Return the fraction from which timm computes the size before the crop, rounding down."""
    return side / (round(side * _MARGIN) + 0.25) if side >= _PLAIN_BELOW else 1.0


class _Empty:
    """A model for timm's writer of folders, without its weights."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return nothing."""
        return {}


def _arguments(network: ExportedNetwork) -> dict[str, object]:
    """Return the arguments of `timm.create_model`.

    Raises:
        ConfigError: The model was built by the user, or an argument is no plain value.
    """
    from lightly_timm.library import TimmLibrary  # imported late: it imports this module

    if network.short_name is None or not isinstance(network.library, TimmLibrary):
        raise ConfigError("timm builds models by name, so only those of timm/ are written")
    own = (*OWN_ARGUMENTS, *SOURCES)
    given = {key: value for key, value in network.model_args.items() if key not in own}
    channels = network.preprocessing.num_channels
    _, arguments = build(network.short_name, channels, given, without_memory=True)
    arguments = {"in_chans": channels, **arguments}
    model = network.wrapper.get_model()
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if built_for is not None and "img_size" in inspect.signature(type(model)).parameters:
        arguments.setdefault("img_size", list(built_for))  # Of the position embeddings.
    try:
        json.dumps(arguments)
    except TypeError as error:
        raise ConfigError(f"model_args hold a value that JSON cannot: {error}") from error
    return arguments
