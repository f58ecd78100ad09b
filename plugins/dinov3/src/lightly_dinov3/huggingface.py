"""DINOv3 in the layout of transformers' ``DINOv3ViTModel`` and ``DINOv3ConvNextModel``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.models.convnext import ConvNeXt
from torch import Tensor

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel, Written
from lightly_core.contracts.format import Outputs
from lightly_core.parts.state import portable_state_dict
from lightly_dinov3.layout import PERIODS, to_meta

_Rules = tuple[tuple[re.Pattern[str], str], ...]

_VIT: _Rules = (
    (re.compile(r"^cls_token$"), "embeddings.cls_token"),
    (re.compile(r"^storage_tokens$"), "embeddings.register_tokens"),
    (re.compile(r"^patch_embed\.proj\."), "embeddings.patch_embeddings."),
    (re.compile(r"^blocks\."), "layer."),
    (re.compile(r"\.attn\.proj\."), ".attention.o_proj."),
    (re.compile(r"\.ls(\d)\.gamma$"), r".layer_scale\1.lambda1"),
    (re.compile(r"\.mlp\.w1\."), ".mlp.gate_proj."),
    (re.compile(r"\.mlp\.(w2|fc1)\."), ".mlp.up_proj."),
    (re.compile(r"\.mlp\.(w3|fc2)\."), ".mlp.down_proj."),
)
_CONVNEXT: _Rules = (
    (re.compile(r"^stem\."), "stages.0.downsample_layers."),
    (re.compile(r"^stages\.(\d)\.downsample\."), r"stages.\1.downsample_layers."),
    (re.compile(r"^stages\.(\d)\.blocks\."), r"stages.\1.layers."),
    (re.compile(r"\.conv_dw\."), ".depthwise_conv."),
    (re.compile(r"(layers\.\d+)\.norm\."), r"\1.layer_norm."),
    (re.compile(r"\.mlp\.fc(\d)\."), r".pointwise_conv\1."),
    (re.compile(r"^head\.norm\."), "layer_norm."),
)
_DROPPED = re.compile(rf"{re.escape(PERIODS)}|local_cls_norm\..+|.+\.qkv\.bias(_mask)?")


_NOTE = (
    "transformers does not round the periods of the rotary embedding as Meta's files do. So its "
    "features differ a little from those of the run, also with Meta's own weights; the comparison "
    "used its periods."
)


def to_huggingface(network: ExportedNetwork) -> HuggingFaceModel:
    """Convert a DINOv3 model."""
    model: Any = network.wrapper.get_model()
    size = network.preprocessing.size[0]
    if isinstance(model, ConvNeXt):
        tensors = {
            _renamed(name, _CONVNEXT): tensor for name, tensor in portable_state_dict(model).items()
        }
        return HuggingFaceModel(_convnext_config(model, size), tensors, _convnext_tokens(network))
    return HuggingFaceModel(
        _vit_config(model, size), _vit_tensors(model), _vit_tokens(network), Written(notes=(_NOTE,))
    )


def _vit_tensors(model: Any) -> dict[str, Tensor]:  # noqa: ANN401 - timm's class has no types
    published = to_meta(model)
    tensors = {"embeddings.mask_token": published.pop("mask_token")[None]}  # (1, 1, D)
    for name, tensor in published.items():
        if name.endswith((".attn.qkv.weight", ".attn.qkv.bias")):
            prefix, _, kind = name.replace("blocks.", "layer.").partition(".attn.qkv.")
            for part, values in zip("qkv", tensor.chunk(3), strict=True):
                if part != "k" or kind == "weight":  # Keys have no bias.
                    tensors[f"{prefix}.attention.{part}_proj.{kind}"] = values.clone()
        elif not _DROPPED.fullmatch(name):
            tensors[_renamed(name, _VIT)] = tensor
    return tensors


def _vit_config(model: Any, size: int) -> dict[str, object]:  # noqa: ANN401 - timm's class has no types
    block = model.blocks[0]
    gated = hasattr(block.mlp, "fc1_g")
    has_bias = getattr(block.attn, "q_bias", None) is not None
    first = block.mlp.fc1_x if gated else block.mlp.fc1
    return {
        "architectures": ["DINOv3ViTModel"],
        "model_type": "dinov3_vit",
        "hidden_size": int(model.embed_dim),
        "intermediate_size": int(first.out_features),
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": int(block.attn.num_heads),
        "hidden_act": "silu" if gated else "gelu",
        "use_gated_mlp": gated,
        "layer_norm_eps": model.norm.eps,
        "rope_theta": float(model.rope.temperature),
        "image_size": size,
        "patch_size": int(model.patch_embed.patch_size[0]),
        "num_channels": int(model.patch_embed.proj.in_channels),
        "query_bias": has_bias,
        "key_bias": False,
        "value_bias": has_bias,
        "proj_bias": True,
        "mlp_bias": True,
        "num_register_tokens": int(model.reg_token.shape[1]),
        "torch_dtype": "float32",
    }


def _convnext_config(model: Any, size: int) -> dict[str, object]:  # noqa: ANN401 - timm's class has no types
    return {
        "architectures": ["DINOv3ConvNextModel"],
        "model_type": "dinov3_convnext",
        "num_channels": int(model.stem[0].in_channels),
        "hidden_sizes": [int(stage.blocks[0].conv_dw.in_channels) for stage in model.stages],
        "depths": [len(stage.blocks) for stage in model.stages],
        "hidden_act": "gelu",
        "layer_norm_eps": model.head.norm.eps,
        "image_size": size,
        "torch_dtype": "float32",
    }


def _vit_tokens(network: ExportedNetwork) -> Outputs:
    def tokens(images: Tensor) -> tuple[Tensor, ...]:
        with _unrounded_periods(network.wrapper.get_model()):
            found = network.wrapper.forward_features(images)
        patches = found["features"].flatten(2).transpose(1, 2)  # (B, N, D)
        return torch.cat([found["prefix_tokens"], patches], dim=1), found["cls_token"]

    return tokens


@contextmanager
def _unrounded_periods(model: Any) -> Iterator[None]:  # noqa: ANN401 - timm's class has no types
    """Compute with the periods of transformers, which cannot be stored in its files."""
    periods: Tensor = model.rope.periods
    kept = periods.clone()
    periods.copy_(model.rope.temperature ** (torch.arange(len(periods)) / len(periods)))
    try:
        yield
    finally:
        periods.copy_(kept)


def _convnext_tokens(network: ExportedNetwork) -> Outputs:
    def tokens(images: Tensor) -> tuple[Tensor, ...]:
        found = network.wrapper.forward_features(images)
        patches = found["features"].flatten(2).transpose(1, 2)  # (B, N, D)
        pooled = network.wrapper.forward_pool(found)["pooled_features"].flatten(1)
        return torch.cat([pooled[:, None], patches], dim=1), pooled

    return tokens


def _renamed(name: str, rules: _Rules) -> str:
    for pattern, new in rules:
        name = pattern.sub(new, name)
    return name
