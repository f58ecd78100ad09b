"""DINOv2 in the layout of transformers' ``Dinov2Model`` and ``Dinov2WithRegistersModel``."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel, Written
from lightly_core.contracts.format import Outputs
from lightly_core.errors import ConfigError
from lightly_dinov2.layout import to_meta
from lightly_dinov2.positions import interpolate_positions

_RULES = (
    (re.compile(r"^(cls_token|mask_token|register_tokens)$"), r"embeddings.\1"),
    (re.compile(r"^pos_embed$"), "embeddings.position_embeddings"),
    (re.compile(r"^patch_embed\.proj\."), "embeddings.patch_embeddings.projection."),
    (re.compile(r"^blocks\."), "encoder.layer."),
    (re.compile(r"\.attn\.proj\."), ".attention.output.dense."),
    (re.compile(r"\.ls(\d)\.gamma$"), r".layer_scale\1.lambda1"),
    (re.compile(r"\.mlp\.w12\."), ".mlp.weights_in."),
    (re.compile(r"\.mlp\.w3\."), ".mlp.weights_out."),
    (re.compile(r"^norm\."), "layernorm."),
)


def to_huggingface(network: ExportedNetwork) -> HuggingFaceModel:
    """Convert a DINOv2 model.

    The positions are interpolated to the size of the preprocessing, for which both then compute
    the same. For other sizes transformers interpolates in another way.

    Raises:
        ConfigError: The size is not square or no multiple of the patch.
    """
    model: Any = network.wrapper.get_model()
    patch = int(model.patch_embed.patch_size[0])
    height, width = network.preprocessing.size
    if height != width or height % patch:
        raise ConfigError(
            f"transformers stores positions for square images whose side is a multiple of {patch}, "
            f"got {height} x {width}; set image_size"
        )
    published = to_meta(model)
    registers = "register_tokens" in published
    published["pos_embed"] = _positions(published["pos_embed"], height // patch, registers)
    tensors: dict[str, Tensor] = {}
    for name, tensor in published.items():
        if ".attn.qkv." in name:
            prefix, _, kind = name.replace("blocks.", "encoder.layer.").partition(".attn.qkv.")
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            for part, values in parts:
                tensors[f"{prefix}.attention.attention.{part}.{kind}"] = values.clone()
            continue
        for pattern, new in _RULES:
            name = pattern.sub(new, name)
        tensors[name] = tensor
    note = (
        f"For images of {height} x {width} pixels transformers computes the same; for other sizes "
        "it interpolates positions in another way. Export again with image_size for another size."
    )
    return HuggingFaceModel(
        _config(model, registers, height, patch),
        tensors,
        _tokens(network),
        Written(any_size=False, notes=(note,)),
    )


def _positions(positions: Tensor, side: int, registers: bool) -> Tensor:
    """Interpolate positions (1, 1 + N, D) to a grid of side x side."""
    old = math.isqrt(positions.shape[1] - 1)
    if old == side:
        return positions
    patches = interpolate_positions(positions[:, 1:], (old, old), (side, side), registers=registers)
    return torch.cat([positions[:, :1], patches], dim=1)


def _config(model: Any, registers: bool, size: int, patch: int) -> dict[str, object]:  # noqa: ANN401 - timm's class has no types
    block = model.blocks[0]
    dim = int(model.embed_dim)
    gated = block.mlp.fc1.out_features != block.mlp.fc2.in_features
    kind = "Dinov2WithRegistersModel" if registers else "Dinov2Model"
    config: dict[str, object] = {
        "architectures": [kind],
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        "hidden_size": dim,
        "num_hidden_layers": len(model.blocks),
        "num_attention_heads": int(block.attn.num_heads),
        # With a gated layer, transformers computes its width from this ratio.
        "mlp_ratio": 4 if gated else block.mlp.fc1.out_features // dim,
        "hidden_act": "gelu",
        "layer_norm_eps": model.norm.eps,
        "image_size": size,
        "patch_size": patch,
        "num_channels": int(model.patch_embed.proj.in_channels),
        "qkv_bias": True,
        "use_swiglu_ffn": gated,
        "torch_dtype": "float32",
    }
    if registers:
        config["num_register_tokens"] = int(model.reg_token.shape[1])
    return config


def _tokens(network: ExportedNetwork) -> Outputs:
    """Return a function that computes all tokens (B, P + N, D) and the class token (B, D)."""

    def tokens(images: Tensor) -> tuple[Tensor, ...]:
        found = network.wrapper.forward_features(images)
        patches = found["features"].flatten(2).transpose(1, 2)  # (B, N, D)
        return torch.cat([found["prefix_tokens"], patches], dim=1), found["cls_token"]

    return tokens
