"""Random weights in Meta's layout, and Meta's forward passes written out with plain functions.

The references follow the paper (https://arxiv.org/abs/2508.10104) and the published layout of
tensors; they use nothing of timm or of the plugin.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

PATCH = 16

# ------------------------------------------------------------------------------- transformers


def transformer_shapes(width, depth, heads, *, hidden, gated, biased=True, channels=3):
    """Names and shapes of the tensors in a file of Meta's."""
    shapes = {
        "cls_token": (1, 1, width),
        "storage_tokens": (1, 4, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": (width, channels, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
        "rope_embed.periods": (width // heads // 4,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    layers = {"attn.proj": (width, width)}
    if gated:
        layers |= {"mlp.w1": (hidden, width), "mlp.w2": (hidden, width), "mlp.w3": (width, hidden)}
    else:
        layers |= {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    for index in range(depth):
        block = f"blocks.{index}"
        for name, (rows, columns) in layers.items():
            shapes[f"{block}.{name}.weight"] = (rows, columns)
            shapes[f"{block}.{name}.bias"] = (rows,)
        shapes[f"{block}.attn.qkv.weight"] = (3 * width, width)
        if biased:
            shapes[f"{block}.attn.qkv.bias"] = (3 * width,)
            shapes[f"{block}.attn.qkv.bias_mask"] = (3 * width,)
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"{block}.{name}"] = (width,)
        for name in ("ls1.gamma", "ls2.gamma"):
            shapes[f"{block}.{name}"] = (width,)
    if not biased:  # the largest model
        shapes |= {"local_cls_norm.weight": (width,), "local_cls_norm.bias": (width,)}
    return shapes


def exact_periods(head_width):
    return 100.0 ** (2 * torch.arange(head_width // 4) / (head_width // 2))


def norm(x, tensors, name, epsilon):
    mean = x.mean(dim=-1, keepdim=True)
    variance = (x - mean).square().mean(dim=-1, keepdim=True)
    scaled = (x - mean) / torch.sqrt(variance + epsilon)
    return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def rotated(x, angles):
    """Rotate the pairs (i, i + half) of the last axis; x (..., N, E), angles (N, E / 2)."""
    first, second = x.chunk(2, dim=-1)
    sine, cosine = angles.sin(), angles.cos()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def patch_angles(rows, columns, periods):
    """Angles (rows * columns, E / 2) of patches: of all frequencies vertically, then across."""
    angles = []
    for row in range(rows):
        for column in range(columns):
            vertical = 2 * (row + 0.5) / rows - 1
            horizontal = 2 * (column + 0.5) / columns - 1
            angles.append(
                torch.cat([2 * math.pi * place / periods for place in (vertical, horizontal)])
            )
    return torch.stack(angles)


def attention(x, tensors, prefix, heads, angles):
    batch, count, width = x.shape
    parts = x @ tensors[f"{prefix}.qkv.weight"].T
    if f"{prefix}.qkv.bias" in tensors:
        parts = parts + tensors[f"{prefix}.qkv.bias"] * tensors[f"{prefix}.qkv.bias_mask"]
    parts = parts.reshape(batch, count, 3, heads, width // heads)
    query, key, value = (parts[:, :, part].transpose(1, 2) for part in range(3))
    start = count - len(angles)  # class token and registers have no position
    query, key = (
        torch.cat([part[:, :, :start], rotated(part[:, :, start:], angles)], dim=2)
        for part in (query, key)
    )
    weights = (query @ key.transpose(2, 3) / math.sqrt(width // heads)).softmax(dim=-1)
    mixed = (weights @ value).transpose(1, 2).reshape(batch, count, width)
    return linear(mixed, tensors, f"{prefix}.proj")


def feed_forward(x, tensors, prefix):
    if f"{prefix}.w1.weight" not in tensors:
        hidden = linear(x, tensors, f"{prefix}.fc1")
        return linear(F.gelu(hidden), tensors, f"{prefix}.fc2")
    gate = linear(x, tensors, f"{prefix}.w1")
    hidden = gate * torch.sigmoid(gate) * linear(x, tensors, f"{prefix}.w2")
    return linear(hidden, tensors, f"{prefix}.w3")


def transformer(tensors, images, heads):
    """Class token (B, D), registers (B, 4, D) and patch tokens (B, N, D) after the last norm."""
    weight, bias = tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"]
    patches = F.conv2d(images, weight, bias, stride=PATCH)
    angles = patch_angles(*patches.shape[2:], tensors["rope_embed.periods"])
    first = [tensors["cls_token"], tensors["storage_tokens"]]
    x = torch.cat(
        [*(token.expand(len(images), -1, -1) for token in first), patches.flatten(2).mT], dim=1
    )
    depth = sum(name.endswith("norm1.weight") for name in tensors)
    for index in range(depth):
        block = f"blocks.{index}"
        inner = norm(x, tensors, f"{block}.norm1", 1e-5)
        added = attention(inner, tensors, f"{block}.attn", heads, angles)
        x = x + tensors[f"{block}.ls1.gamma"] * added
        added = feed_forward(norm(x, tensors, f"{block}.norm2", 1e-5), tensors, f"{block}.mlp")
        x = x + tensors[f"{block}.ls2.gamma"] * added
    x = norm(x, tensors, "norm", 1e-5)
    return x[:, 0], x[:, 1:5], x[:, 5:]


# ---------------------------------------------------------------------------------- ConvNeXts


def convnext_shapes(widths, depths, *, channels=3):
    """Names and shapes of the tensors in a file of Meta's."""
    shapes = {
        "downsample_layers.0.0.weight": (widths[0], channels, 4, 4),
        "downsample_layers.0.0.bias": (widths[0],),
        "downsample_layers.0.1.weight": (widths[0],),
        "downsample_layers.0.1.bias": (widths[0],),
        "norm.weight": (widths[-1],),
        "norm.bias": (widths[-1],),
        "norms.3.weight": (widths[-1],),
        "norms.3.bias": (widths[-1],),
    }
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            layer, before = f"downsample_layers.{stage}", widths[stage - 1]
            shapes |= {f"{layer}.0.weight": (before,), f"{layer}.0.bias": (before,)}
            shapes |= {f"{layer}.1.weight": (width, before, 2, 2), f"{layer}.1.bias": (width,)}
        for index in range(depth):
            block = f"stages.{stage}.{index}"
            shapes |= {
                f"{block}.gamma": (width,),
                f"{block}.dwconv.weight": (width, 1, 7, 7),
                f"{block}.dwconv.bias": (width,),
                f"{block}.norm.weight": (width,),
                f"{block}.norm.bias": (width,),
                f"{block}.pwconv1.weight": (4 * width, width),
                f"{block}.pwconv1.bias": (4 * width,),
                f"{block}.pwconv2.weight": (width, 4 * width),
                f"{block}.pwconv2.bias": (width,),
            }
    return shapes


def map_norm(x, tensors, name):
    return norm(x.permute(0, 2, 3, 1), tensors, name, 1e-6).permute(0, 3, 1, 2)


def convnext(tensors, images):
    """Class token (B, D), the normalised average, and normalised patch tokens (B, N, D)."""
    x = images
    for stage in range(4):
        layer = f"downsample_layers.{stage}"
        order, stride = (("conv", "norm"), 4) if stage == 0 else (("norm", "conv"), 2)
        for index, what in enumerate(order):
            name = f"{layer}.{index}"
            if what == "norm":
                x = map_norm(x, tensors, name)
            else:
                x = F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], stride=stride)
        depth = sum(
            name.startswith(f"stages.{stage}.") and name.endswith("gamma") for name in tensors
        )
        for index in range(depth):
            block = f"stages.{stage}.{index}"
            weight, bias = tensors[f"{block}.dwconv.weight"], tensors[f"{block}.dwconv.bias"]
            inner = F.conv2d(x, weight, bias, padding=3, groups=x.shape[1]).permute(0, 2, 3, 1)
            inner = norm(inner, tensors, f"{block}.norm", 1e-6)
            inner = linear(
                F.gelu(linear(inner, tensors, f"{block}.pwconv1")), tensors, f"{block}.pwconv2"
            )
            x = x + (tensors[f"{block}.gamma"] * inner).permute(0, 3, 1, 2)
    patches = norm(x.flatten(2).mT, tensors, "norm", 1e-6)
    return norm(x.mean(dim=(2, 3)), tensors, "norm", 1e-6), patches


# ----------------------------------------------------------------------------------- fixtures


def random_tensor(shape):
    return torch.randn(shape) * (0.2 if len(shape) in (2, 4) else 0.5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the test's own, and no network."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LIGHTLY_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def library():
    from lightly_dinov3.library import DINOv3Library

    return DINOv3Library()


@pytest.fixture
def shapes_of():
    return {"transformer": transformer_shapes, "convnext": convnext_shapes}


@pytest.fixture
def references():
    return {"transformer": transformer, "convnext": convnext}


@pytest.fixture
def tiny_transformer():
    """Make random tensors as a tiny transformer of Meta's has them; nothing is zero or one.

    The bias of keys is not zero either: the mask has to take it away.
    """

    def make(*, gated=False, biased=True, width=32, depth=2, channels=3, periods="published"):
        shapes = transformer_shapes(
            width, depth, 2, hidden=4 * width, gated=gated, biased=biased, channels=channels
        )
        tensors = {name: random_tensor(shape) for name, shape in shapes.items()}
        mask = torch.ones(3 * width)
        mask[width : 2 * width] = 0
        tensors |= {name: mask.clone() for name in tensors if name.endswith("bias_mask")}
        exact = exact_periods(width // 2)
        tensors["rope_embed.periods"] = exact if periods == "exact" else exact.bfloat16().float()
        return tensors

    return make


@pytest.fixture
def tiny_convnext():
    """Make random tensors as a tiny ConvNeXt of Meta's has them."""

    def make(*, widths=(8, 12, 16, 24), depths=(1, 2, 1, 1), channels=3):
        shapes = convnext_shapes(widths, depths, channels=channels)
        tensors = {name: random_tensor(shape) for name, shape in shapes.items()}
        for part in ("weight", "bias"):
            tensors[f"norms.3.{part}"] = tensors[f"norm.{part}"]
        return tensors

    return make


@pytest.fixture
def tensors_of(tiny_transformer, tiny_convnext):
    """Random tensors in Meta's layout for a model's tiny twin."""

    def tensors_of(name, **options):
        if name.startswith("convnext"):
            return tiny_convnext(**options)
        return tiny_transformer(gated="plus" in name, **options)

    return tensors_of


@pytest.fixture
def create(library, tmp_path):
    """Build a tiny model by name; `tensors` are saved to a file and loaded from it."""

    def create(name, tensors=None, *, channels=3, **model_args):
        if name.startswith("convnext"):
            tiny = {"dims": [8, 12, 16, 24], "depths": [1, 2, 1, 1]}
        else:
            tiny = {"embed_dim": 32, "depth": 2, "num_heads": 2}
        arguments = {**tiny, **model_args}
        if tensors is not None:
            torch.save(tensors, tmp_path / "published.pth")
            arguments["weights"] = str(tmp_path / "published.pth")
        return library.create(name, num_input_channels=channels, model_args=arguments)

    return create
