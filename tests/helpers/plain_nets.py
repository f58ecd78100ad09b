"""Plain networks, as users have them, for the tests of `lightly_core.wrap`."""

import torch
from torch import nn


class ConvNet(nn.Module):
    """Stride 8, width 8; a classifier that takes images of 64 pixels only."""

    def __init__(self, channels=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 4, stride=4)
        self.stages = nn.Sequential(
            nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 1)),
            nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 8, 2, stride=2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.behind = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8 * 8 * 8, 5)

    def forward(self, x):
        return self.classifier(self.behind(self.stages(self.stem(x))).flatten(1))


class ChannelsLast(nn.Module):
    """A map (B, h, w, 6) of stride 4 and a pooling that wants it like that."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.pool = LastAxisPool()

    def forward(self, x):
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class LastAxisPool(nn.Module):
    def forward(self, x):
        assert x.shape[-1] == 6
        return x.flatten(1, -2).amax(1)


class Transformer(nn.Module):
    """Tokens (B, P + h * w, 6) of patches of 8 pixels; with `size`, for this size only."""

    def __init__(self, num_prefix=2, size=None):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 8, stride=8)
        self.prefix = nn.Parameter(torch.randn(1, num_prefix, 6))
        num_tokens = 1 if size is None else num_prefix + (size[0] // 8) * (size[1] // 8)
        self.position = nn.Parameter(torch.randn(1, num_tokens, 6))
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.block(tokens + self.position)[:, 0])


class Returns(nn.Module):
    """Returns what a function makes of two maps, of stride 4 and 8, and pooled features."""

    def __init__(self, make):
        super().__init__()
        self.body = ConvNet()
        self.make = make

    def forward(self, x):
        fine = self.body.stages[0](self.body.stem(x))
        coarse = self.body.stages[1](fine)
        return self.make(fine, coarse, coarse.mean((2, 3)))


def hooks(module):
    return [hook for part in module.modules() for hook in part._forward_hooks.values()]
