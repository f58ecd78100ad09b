"""TinyNet: a small convolutional network, with a file format of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class TinyNet(nn.Module):
    """Classify images. The features have stride 4 * 2 ** depth and width * 2 ** depth channels.

    Args:
        num_channels: Channels of the images.
        width: Channels after the stem.
        depth: Stages after the stem; each halves the resolution and doubles the channels.
        num_classes: Number of class scores.
    """

    def __init__(
        self, num_channels: int = 3, width: int = 16, depth: int = 2, num_classes: int = 10
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got {width} and {depth}")
        self.settings = {
            "num_channels": num_channels,
            "width": width,
            "depth": depth,
            "num_classes": num_classes,
        }
        self.stem = nn.Conv2d(num_channels, width, kernel_size=4, stride=4)
        self.stages = nn.Sequential(*(_stage(width * 2**index) for index in range(depth)))
        self.num_features: int = width * 2**depth
        self.classifier = nn.Linear(self.num_features, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the map (B, num_features, h, w) of images (B, C, H, W)."""
        found: Tensor = self.stages(self.stem(x))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (B, num_classes) of images (B, C, H, W)."""
        scores: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return scores

    def save(self, path: Path) -> None:
        """Write settings and weights to one file."""
        state_dict = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        with open(path, "wb") as file:  # given the path, older torch does not notice a full disk
            torch.save({"settings": self.settings, "state_dict": state_dict}, file)

    @classmethod
    def load(cls, path: str | Path) -> TinyNet:
        """Build the model that `save` wrote."""
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = cls(**content["settings"])
        model.load_state_dict(content["state_dict"])
        return model


def _stage(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(inplace=True),
        nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(inplace=True),
    )
