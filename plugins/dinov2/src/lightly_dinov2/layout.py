"""Convert tensors between Meta's layout and timm's.

What differs from a plain change of names:

- With registers, Meta adds a position to the class token in each forward, timm has none there.
  The position is added to the token on load; on export it is zero, which gives the same numbers.
- The mask token is needed for pretraining only. It is dropped on load and zero on export.
- Training code may keep the blocks in chunks, ``blocks.<chunk>.<block>``.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightly_core.parts.state import portable_state_dict
from lightly_dinov2.positions import interpolate_positions
from lightly_timm.published import backbone_tensors, fit_input_channels

log = logging.getLogger(__name__)

_CHUNKED = re.compile(r"^blocks\.\d+\.(\d+\.)")
_FROM_META = (
    ("register_tokens", "reg_token"),
    (".mlp.w12.", ".mlp.fc1."),
    (".mlp.w3.", ".mlp.fc2."),
)


def from_meta(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Convert published tensors to timm's layout. Tensors in timm's layout stay as they are.

    Args:
        tensors: Contents of a file: published weights, a training checkpoint with the names
            ``teacher.backbone.*`` or ``backbone.*``, or timm's own layout.
        module: timm's model. Where it takes another number of channels, or was built for another
            native size, the first convolution and the positions are adapted.

    Returns:
        Tensors under timm's names.
    """
    tensors = backbone_tensors(tensors)
    translated: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name == "mask_token":
            continue
        name = _CHUNKED.sub(r"blocks.\1", name)
        for old, new in _FROM_META:
            name = name.replace(old, new)
        translated[name] = tensor
    if "register_tokens" in tensors and {"cls_token", "pos_embed"} <= translated.keys():
        positions = translated["pos_embed"]  # (1, 1 + N, D)
        translated["cls_token"] = translated["cls_token"] + positions[:, :1]
        translated["pos_embed"] = positions[:, 1:]
    _fit_grid(translated, module)
    fit_input_channels(translated, module)
    return translated


def _fit_grid(tensors: dict[str, Tensor], module: nn.Module) -> None:
    """Interpolate the positions where the model was built for images of another size."""
    own = module.state_dict()["pos_embed"]  # (1, P + N, D), P is 0 with registers, else 1
    positions = tensors.get("pos_embed")
    if positions is None or positions.shape[1] == own.shape[1]:
        return
    registers = "reg_token" in tensors
    prefix = 0 if registers else 1
    old, new = (value.shape[1] - prefix for value in (positions, own))
    grid, size = ((math.isqrt(count), math.isqrt(count)) for count in (old, new))
    if (math.prod(grid), math.prod(size)) != (old, new):
        return  # Not of square grids; loading refuses it.
    patches = interpolate_positions(positions[:, prefix:], grid, size, registers=registers)
    tensors["pos_embed"] = torch.cat([positions[:, :prefix], patches], dim=1)
    log.info("Weights: positions interpolated from a grid of %d x %d to %d x %d", *grid, *size)


def to_meta(module: nn.Module) -> dict[str, Tensor]:
    """Return a model's tensors as Meta's own code loads them.

    Args:
        module: timm's model.

    Returns:
        Tensors on the CPU, under Meta's names, complete for a strict load.
    """
    tensors = portable_state_dict(module)
    first, second = tensors["blocks.0.mlp.fc1.weight"], tensors["blocks.0.mlp.fc2.weight"]
    gated = first.shape[0] != second.shape[1]  # timm packs both inputs of a SwiGLU layer into one
    published: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if gated:
            name = name.replace(".mlp.fc1.", ".mlp.w12.").replace(".mlp.fc2.", ".mlp.w3.")
        published[name] = tensor
    token = tensors["cls_token"]  # (1, 1, D)
    if "reg_token" in published:
        published["register_tokens"] = published.pop("reg_token")
        published["pos_embed"] = torch.cat([torch.zeros_like(token), tensors["pos_embed"]], dim=1)
    published["mask_token"] = torch.zeros_like(token[0])  # (1, D)
    return published
