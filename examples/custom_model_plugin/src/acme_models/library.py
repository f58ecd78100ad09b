"""Builds and exports ACME's networks for lightly-core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from acme_models.model import TinyNet
from lightly_core import ConfigError, ModelLibrary
from lightly_core.contracts import ModelWrapper

#: Arguments of TinyNet by the name of the model.
MODELS: dict[str, dict[str, int]] = {"tinynet": {"width": 16}, "tinynet-wide": {"width": 32}}

#: What users may set in `model_args`.
ARGUMENTS = ("width", "depth")


class TinyNetWrapper(ModelWrapper):
    """Give a TinyNet the four methods of a backbone.

    Args:
        model: The network.
    """

    def __init__(self, model: TinyNet) -> None:
        super().__init__()
        self.model = model

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the map (B, D, h, w) of images (B, C, H, W)."""
        return {"features": self.model.features(x)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return its mean over all positions (B, D, 1, 1)."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return D."""
        return self.model.num_features

    def get_model(self) -> TinyNet:
        """Return the network."""
        return self.model


class AcmeLibrary(ModelLibrary):
    """Networks by name, and networks built by the user."""

    examples = ("tinynet",)

    def names(self) -> Sequence[str]:
        """Return the names of the models."""
        return tuple(MODELS)

    def create(
        self, name: str, *, num_input_channels: int, model_args: Mapping[str, object]
    ) -> TinyNetWrapper:
        """Build a model; lightly-core has checked the name."""
        unknown = [key for key in model_args if key not in ARGUMENTS]
        if unknown:
            raise ConfigError(
                f"unknown model_args of acme/{name}: {', '.join(unknown)}"
                f"\n  it takes {', '.join(ARGUMENTS)}"
            )
        settings: dict[str, Any] = {**MODELS[name], **model_args}
        try:
            model = TinyNet(num_input_channels, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"acme/{name} refuses model_args {dict(model_args)}: {error}"
            ) from error
        return TinyNetWrapper(model)

    def wrap(self, module: nn.Module, *, num_input_channels: int) -> TinyNetWrapper:
        """Wrap a network that the user built."""
        if not isinstance(module, TinyNet):
            raise ConfigError(f"expected a TinyNet, got {type(module).__name__}")
        channels = module.settings["num_channels"]
        if channels != num_input_channels:
            raise ConfigError(
                f"this TinyNet takes images of {channels} channels, the run's have "
                f"{num_input_channels}\n  build it with num_channels={num_input_channels}"
            )
        return TinyNetWrapper(module)

    def save(self, module: nn.Module, path: Path) -> None:
        """Write the file that `TinyNet.load` reads."""
        assert isinstance(module, TinyNet)
        module.save(path)

    def snippet(
        self,
        name: str | None,
        *,
        num_input_channels: int,
        model_args: Mapping[str, object],
        file: Path,
    ) -> str:
        """Return the code that loads the file, which also holds the model's settings."""
        return "\n".join(
            [
                "from acme_models.model import TinyNet",
                "",
                f"model = TinyNet.load({str(file)!r})",
            ]
        )
