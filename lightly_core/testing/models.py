"""Backbones of a few thousand parameters, for tests that should take milliseconds."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class TinyConv(nn.Module):
    """Three convolutions with batch norm behind the members of a `ModelWrapper`; stride 8.

    Args:
        num_input_channels: C.
        feature_dim: D.
    """

    def __init__(self, num_input_channels: int = 3, feature_dim: int = 32) -> None:
        super().__init__()
        widths = (num_input_channels, feature_dim // 4, feature_dim // 2, feature_dim)
        self._feature_dim = feature_dim
        self._model = nn.Sequential(*(_block(*pair) for pair in itertools.pairwise(widths)))

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``features`` (B, D, H / 8, W / 8) of images (B, C, H, W)."""
        return {"features": self._model(x)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over positions as ``pooled_features`` (B, D, 1, 1)."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def forward(self, x: Tensor) -> Tensor:
        """Return pooled features (B, D)."""
        return torch.flatten(self.forward_pool(self.forward_features(x))["pooled_features"], 1)

    def feature_dim(self) -> int:
        """Return D."""
        return self._feature_dim

    def get_model(self) -> nn.Module:
        """Return the convolutions."""
        return self._model


def _block(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )
