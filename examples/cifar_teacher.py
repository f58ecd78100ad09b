"""A custom wrapper: the published CIFAR-10 ResNets as teachers.

    import lightly_core
    from cifar_teacher import cifar_teacher

    lightly_core.pretrain(
        out="out/cifar", data="cifar10/train", model="torchvision/resnet18",
        model_args={"small_stem": True}, transform_args={"image_size": 32},
        method="distillationv1",
        method_args={"teacher": cifar_teacher("cifar10-resnet56-4bfd9763.th")},
    )

A wrapper is any module with four methods. The optional method `input_normalization` returns the
mean and standard deviation by which images are normalised. The weights are from the repository
akamaster/pytorch_resnet_cifar10 (BSD 2-clause). The networks were trained with labels.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.errors import ConfigError
from lightly_core.exporting.weights import load_weights, read_weights, require_complete

_CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut without parameters.

    If the block reduces the map, the shortcut takes every second position and pads the channels
    with zeros, half of them before the input channels.

    Args:
        channels: Channels of the input (B, channels, H, W).
        out_channels: Channels of the output, the same or more.
        stride: 1, or 2 to halve height and width of the map.
    """

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.added = out_channels - channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        front = self.added // 2
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, front, self.added - front))
        return F.relu(residual + shortcut)


class CifarResNet(nn.Module):
    """The ResNet for images of 32 pixels (He et al. 2015, https://arxiv.org/abs/1512.03385).

    Args:
        num_blocks: Blocks in each of the three stages: 3 for ResNet-20, 9 for ResNet-56.
        num_classes: Number of outputs of the classifier.
    """

    def __init__(self, num_blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_CHANNELS[0])
        self.layer1 = _stage(_CHANNELS[0], _CHANNELS[0], num_blocks, stride=1)
        self.layer2 = _stage(_CHANNELS[0], _CHANNELS[1], num_blocks, stride=2)
        self.layer3 = _stage(_CHANNELS[1], _CHANNELS[2], num_blocks, stride=2)
        self.linear = nn.Linear(_CHANNELS[2], num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, 64, H / 4, W / 4)."""
        x = F.relu(self.bn1(self.conv1(x)))
        features: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to logits (B, num_classes)."""
        logits: Tensor = self.linear(self.features(x).mean(dim=(2, 3)))
        return logits


class CifarTeacher(nn.Module):
    """A `CifarResNet` with the methods of a wrapper.

    Args:
        model: The network.
    """

    def __init__(self, model: CifarResNet) -> None:
        super().__init__()
        self.model = model

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        """Map images (B, 3, H, W) to ``features`` (B, 64, H / 4, W / 4)."""
        return {"features": self.model.features(x)}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average over positions, as the classifier does: ``pooled_features`` (B, 64, 1, 1)."""
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}

    def feature_dim(self) -> int:
        """Return 64."""
        return _CHANNELS[-1]

    def get_model(self) -> CifarResNet:
        """Return the network."""
        return self.model

    def input_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and std used in training: those of ImageNet, for values in [0, 1]."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def cifar_teacher(weights: str | Path) -> CifarTeacher:
    """Build the network of a published file and load all its weights.

    Args:
        weights: ``cifar10-resnet20-....th`` or another depth, which is read from the file.

    Raises:
        ConfigError: The file cannot be read, or does not hold all weights of such a network.
    """
    found = [re.search(r"(?:^|\.)layer1\.(\d+)\.", name) for name in read_weights(weights)]
    indices = [int(match[1]) for match in found if match]
    if not indices:
        raise ConfigError(
            f"{weights} holds no ResNet for CIFAR: no tensor is called layer1.0.conv1.weight"
            "\n  give a file of akamaster/pytorch_resnet_cifar10"
        )
    wrapper = CifarTeacher(CifarResNet(num_blocks=max(indices) + 1))
    report = load_weights(wrapper, weights)
    # The files are older than this counter, which does not affect the results.
    require_complete(report, allowed_missing=["*num_batches_tracked"])
    wrapper.eval()
    return wrapper


def _stage(channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels, out_channels, stride)
    return nn.Sequential(
        first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(num_blocks - 1))
    )
