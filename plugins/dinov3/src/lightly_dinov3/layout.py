"""Convert tensors between Meta's layout and timm's.

What differs from a plain change of names:

- Meta multiplies the bias of queries, keys and values by a mask, which is zero for keys, and in
  some published files everywhere. Here the product is kept. On export the mask is one for queries
  and values, so that what training changed has an effect.
- The periods of the rotary embedding are a buffer in Meta's layout, and in the published files
  they are rounded to bfloat16. timm computes them exactly and keeps them out of its state dict;
  `from_meta` gives the model those of the file, and new models start from rounded ones.
- The mask token, and the norm of local crops' class tokens that the largest model has, are needed
  for pretraining only. They are dropped on load; on export they are zero, and a copy of the norm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from lightly_core.parts.state import portable_state_dict
from lightly_timm.published import backbone_tensors, fit_input_channels

PERIODS = "rope_embed.periods"

#: Periods that differ by more than bfloat16 rounds are those of another rotary embedding.
_ROUNDING = 2.0**-7

_CHUNKED = re.compile(r"^blocks\.\d+\.(\d+\.)")
_TRANSFORMER = (
    ("storage_tokens", "reg_token"),
    (".ls1.gamma", ".gamma_1"),
    (".ls2.gamma", ".gamma_2"),
    (".mlp.w1.", ".mlp.fc1_g."),
    (".mlp.w2.", ".mlp.fc1_x."),
    (".mlp.w3.", ".mlp.fc2."),
)
_DROPPED = re.compile(r"mask_token|local_cls_norm\..+|.+\.qkv\.bias_mask")

_FROM_CONVNEXT = (
    (re.compile(r"^downsample_layers\.0\."), "stem."),
    (re.compile(r"^downsample_layers\.(\d)\.(\d)\."), r"stages.\1.downsample.\2."),
    (re.compile(r"^stages\.(\d)\.(\d+)\."), r"stages.\1.blocks.\2."),
    (re.compile(r"\.dwconv\."), ".conv_dw."),
    (re.compile(r"\.pwconv(\d)\."), r".mlp.fc\1."),
    (re.compile(r"^norm\."), "head.norm."),
)
_TO_CONVNEXT = (
    (re.compile(r"^stem\."), "downsample_layers.0."),
    (re.compile(r"^stages\.(\d)\.downsample\.(\d)\."), r"downsample_layers.\1.\2."),
    (re.compile(r"^stages\.(\d)\.blocks\.(\d+)\."), r"stages.\1.\2."),
    (re.compile(r"\.conv_dw\."), ".dwconv."),
    (re.compile(r"\.mlp\.fc(\d)\."), r".pwconv\1."),
    (re.compile(r"^head\.norm\."), "norm."),
)


def from_meta(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Convert published tensors to timm's layout. Tensors in timm's layout stay as they are.

    What the model cannot take, biases of keys and periods of another rotary embedding, keeps its
    name, so that loading finds it unexpected.

    Args:
        tensors: Contents of a file: published weights, a training checkpoint with the names
            ``teacher.backbone.*`` or ``backbone.*``, or timm's own layout.
        module: timm's model. The periods of its rotary embedding become those of the file.

    Returns:
        Tensors under timm's names.
    """
    tensors = backbone_tensors(tensors)
    if isinstance(module, ConvNeXt):
        translated = _convnext_from_meta(tensors)
    else:
        translated = _transformer_from_meta(tensors)
        if PERIODS in tensors and _set_periods(module, tensors[PERIODS]):
            del translated[PERIODS]
    fit_input_channels(translated, module)
    return translated


def to_meta(module: nn.Module) -> dict[str, Tensor]:
    """Return a model's tensors as Meta's own code loads them.

    Args:
        module: timm's model.

    Returns:
        Tensors on the CPU, under Meta's names, complete for a strict load.
    """
    tensors = portable_state_dict(module)
    if isinstance(module, ConvNeXt):
        published = {_renamed(name, _TO_CONVNEXT): tensor for name, tensor in tensors.items()}
        for part in ("weight", "bias"):  # Meta's code has the last norm under two names.
            published[f"norms.3.{part}"] = published[f"norm.{part}"].clone()
        return published
    return _transformer_to_meta(tensors, module)


def round_periods(module: nn.Module) -> None:
    """Round the periods of the rotary embedding as they are in the published files."""
    periods = _periods(module)
    if periods is not None:
        periods.copy_(periods.bfloat16())


def _set_periods(module: nn.Module, periods: Tensor) -> bool:
    """Set the periods of a model from a file. False if they differ by more than rounding."""
    own = _periods(module)
    if own is None or own.shape != periods.shape:
        return False
    if not (periods.to(own) / own - 1).abs().max().item() < _ROUNDING:
        return False
    own.copy_(periods)
    return True


def _periods(module: nn.Module) -> Tensor | None:
    periods = getattr(getattr(module, "rope", None), "periods", None)
    return periods if isinstance(periods, Tensor) else None


def _transformer_from_meta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    translated: dict[str, Tensor] = {}
    for raw, tensor in tensors.items():
        name = _CHUNKED.sub(r"blocks.\1", raw)
        if _DROPPED.fullmatch(name):
            continue
        if name.endswith(".qkv.bias"):
            mask = tensors.get(f"{raw}_mask", torch.ones(()))
            query, key, value = (tensor * mask.to(tensor)).chunk(3)
            if not key.any():
                translated[name.replace("qkv.bias", "q_bias")] = query
                translated[name.replace("qkv.bias", "v_bias")] = value
                continue
        for old, new in _TRANSFORMER:
            name = name.replace(old, new)
        translated[name] = tensor
    return translated


def _transformer_to_meta(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    published: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".v_bias"):
            continue
        if name.endswith(".q_bias"):
            value = tensors[name.replace("q_bias", "v_bias")]
            ones, zeros = torch.ones_like(tensor), torch.zeros_like(tensor)
            prefix = name.replace("q_bias", "qkv.bias")
            published[prefix] = torch.cat([tensor, zeros, value])
            published[f"{prefix}_mask"] = torch.cat([ones, zeros, ones])
            continue
        # A plain feed-forward layer has fc2 under the same name in both layouts.
        gated = name.replace("fc2", "fc1_g") in tensors
        for new, old in _TRANSFORMER if gated else _TRANSFORMER[:-1]:
            name = name.replace(old, new)
        published[name] = tensor
    published["mask_token"] = torch.zeros_like(tensors["cls_token"][0])  # (1, D)
    periods = _periods(module)
    if periods is not None:
        published[PERIODS] = periods.detach().cpu().clone()
    if not any(name.endswith(".q_bias") for name in tensors):
        # Only the largest model has no such biases, and only its code asks for this norm.
        for part in ("weight", "bias"):
            published[f"local_cls_norm.{part}"] = tensors[f"norm.{part}"].clone()
    return published


def _convnext_from_meta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        _renamed(name, _FROM_CONVNEXT): tensor
        for name, tensor in tensors.items()
        if not name.startswith("norms.")
    }


def _renamed(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, new in rules:
        name = pattern.sub(new, name)
    return name
