"""Random weights in Meta's layout, and Meta's forward pass written out with plain functions.

The reference follows the paper (https://arxiv.org/abs/2304.07193) and the published layout of
tensors; it uses nothing of timm or of the plugin.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

PATCH = 14


def published_shapes(width, depth, *, registers, hidden, gated, grid, channels=3):
    """Names and shapes of the tensors in a file of Meta's."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + grid * grid, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, channels, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    if registers:
        shapes["register_tokens"] = (1, registers, width)
    layers = (
        {"mlp.w12": (2 * hidden, width), "mlp.w3": (width, hidden)}
        if gated
        else {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    )
    layers |= {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    for index in range(depth):
        for name, (rows, columns) in layers.items():
            shapes[f"blocks.{index}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{index}.{name}.bias"] = (rows,)
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"blocks.{index}.{name}"] = (width,)
        for name in ("ls1.gamma", "ls2.gamma"):
            shapes[f"blocks.{index}.{name}"] = (width,)
    return shapes


def interpolated(positions, rows, columns, registers):
    """Positions (1, 1 + N, D) for a grid of other size."""
    side = math.isqrt(positions.shape[1] - 1)
    if (rows, columns) == (side, side):
        return positions
    maps = positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if registers:
        maps = F.interpolate(maps, size=(rows, columns), mode="bicubic", antialias=True)
    else:
        factor = ((rows + 0.1) / side, (columns + 0.1) / side)
        maps = F.interpolate(maps, scale_factor=factor, mode="bicubic", antialias=False)
    assert maps.shape[2:] == (rows, columns)
    patches = maps.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
    return torch.cat([positions[:, :1], patches], dim=1)


def norm(x, tensors, name):
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)
    scaled = (x - mean) / torch.sqrt(variance + 1e-6)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def attention(x, tensors, prefix, heads):
    batch, count, width = x.shape
    parts = linear(x, tensors, f"{prefix}.qkv").reshape(batch, count, 3, heads, width // heads)
    query, key, value = (parts[:, :, part].transpose(1, 2) for part in range(3))
    weights = (query @ key.transpose(2, 3) / math.sqrt(width // heads)).softmax(dim=-1)
    mixed = (weights @ value).transpose(1, 2).reshape(batch, count, width)
    return linear(mixed, tensors, f"{prefix}.proj")


def feed_forward(x, tensors, prefix):
    if f"{prefix}.w12.weight" not in tensors:
        hidden = linear(x, tensors, f"{prefix}.fc1")
        return linear(F.gelu(hidden), tensors, f"{prefix}.fc2")
    gate, hidden = linear(x, tensors, f"{prefix}.w12").chunk(2, dim=-1)
    return linear(gate * torch.sigmoid(gate) * hidden, tensors, f"{prefix}.w3")


def forward(tensors, images, heads):
    """Class token (B, D), registers (B, R, D) and patch tokens (B, N, D) after the last norm."""
    registers = tensors.get("register_tokens")
    weight, bias = tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"]
    patches = F.conv2d(images, weight, bias, stride=PATCH)
    rows, columns = patches.shape[2:]
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([tensors["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + interpolated(tensors["pos_embed"], rows, columns, registers is not None)
    count = 0
    if registers is not None:
        count = registers.shape[1]
        x = torch.cat([x[:, :1], registers.expand(len(x), -1, -1), x[:, 1:]], dim=1)
    depth = sum(name.endswith("norm1.weight") for name in tensors)
    for index in range(depth):
        block = f"blocks.{index}"
        added = attention(norm(x, tensors, f"{block}.norm1"), tensors, f"{block}.attn", heads)
        x = x + tensors[f"{block}.ls1.gamma"] * added
        added = feed_forward(norm(x, tensors, f"{block}.norm2"), tensors, f"{block}.mlp")
        x = x + tensors[f"{block}.ls2.gamma"] * added
    x = norm(x, tensors, "norm")
    return x[:, 0], x[:, 1 : 1 + count], x[:, 1 + count :]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the test's own, and no network."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LIGHTLY_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def library():
    from lightly_dinov2.library import DINOv2Library

    return DINOv2Library()


@pytest.fixture
def shapes_of():
    return published_shapes


@pytest.fixture
def reference():
    return forward


@pytest.fixture
def tiny_weights():
    """Make random tensors as a tiny model of Meta's has them; nothing is zero or one."""

    def make(*, registers=4, gated=False, grid=5, width=48, depth=2, channels=3):
        hidden = width * 8 // 3 if gated else 4 * width
        shapes = published_shapes(
            width,
            depth,
            registers=registers,
            hidden=hidden,
            gated=gated,
            grid=grid,
            channels=channels,
        )
        return {
            name: torch.randn(shape) * (0.2 if len(shape) in (2, 4) else 0.5)
            for name, shape in shapes.items()
        }

    return make


@pytest.fixture
def create(library, tmp_path):
    """Build a tiny model by name; `tensors` are saved to a file and loaded from it."""

    def create(name, tensors=None, *, channels=3, **model_args):
        arguments = {"embed_dim": 48, "depth": 2, "num_heads": 2, "img_size": 70, **model_args}
        if tensors is not None:
            torch.save(tensors, tmp_path / "published.pth")
            arguments["weights"] = str(tmp_path / "published.pth")
        return library.create(name, num_input_channels=channels, model_args=arguments)

    return create
