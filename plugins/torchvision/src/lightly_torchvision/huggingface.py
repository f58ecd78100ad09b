"""ResNets in the layout of transformers' ``ResNetModel``."""

from __future__ import annotations

import re
from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet  # type: ignore[import-untyped]

from lightly_core.contracts import ExportedNetwork, HuggingFaceModel
from lightly_core.contracts.outputs import FeatureOutputs
from lightly_core.errors import ConfigError
from lightly_core.parts.state import portable_state_dict

_RULES = (
    (re.compile(r"^conv1\."), "embedder.embedder.convolution."),
    (re.compile(r"^bn1\."), "embedder.embedder.normalization."),
    (re.compile(r"downsample\.0\."), "shortcut.convolution."),
    (re.compile(r"downsample\.1\."), "shortcut.normalization."),
)
_BLOCK = re.compile(r"^layer(\d)\.(\d+)\.")
_PART = re.compile(r"(conv|bn)(\d)\.")
_PARTS = {"conv": "convolution", "bn": "normalization"}


def resnet_to_huggingface(network: ExportedNetwork) -> HuggingFaceModel:
    """Convert a ResNet.

    Args:
        network: The network; its classifier is left out.

    Raises:
        ConfigError: The model is no plain ResNet.
    """
    model: Any = network.wrapper.get_model()
    if type(model) is not ResNet:
        raise ConfigError(f"of torchvision's models only ResNets are converted, not {_name(model)}")
    if reason := _difference(model):
        raise ConfigError(f"transformers' ResNetModel has {reason}")
    tensors = {
        _renamed(name): tensor
        for name, tensor in portable_state_dict(model).items()
        if not name.startswith("fc.")
    }
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    basic = isinstance(model.layer1[0], BasicBlock)
    wrapper: object = network.wrapper
    assert isinstance(wrapper, nn.Module)
    config = {
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": model.conv1.in_channels,
        "embedding_size": model.conv1.out_channels,
        "hidden_sizes": [stage[-1].bn2.num_features * (1 if basic else 4) for stage in stages],
        "depths": [len(stage) for stage in stages],
        "layer_type": "basic" if basic else "bottleneck",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "torch_dtype": "float32",
    }
    return HuggingFaceModel(config, tensors, FeatureOutputs(wrapper).eval())


def _difference(model: Any) -> str:  # noqa: ANN401 - torchvision has no types
    """Return what differs from the architecture of transformers, empty if nothing does."""
    if model.conv1.kernel_size != (7, 7) or not isinstance(model.maxpool, nn.MaxPool2d):
        return "no stem for small images (small_stem)"
    if model.groups != 1 or model.base_width != 64:
        return "no groups and no wider bottlenecks"
    if any(module.dilation != (1, 1) for module in model.modules() if _is_convolution(module)):
        return "no dilated convolutions"
    norms = {type(module) for name, module in model.named_modules() if re.search(r"bn\d$", name)}
    if norms != {nn.BatchNorm2d}:
        return "batch norms only"
    return ""


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def _renamed(name: str) -> str:
    for pattern, new in _RULES:
        name = pattern.sub(new, name)
    if (block := _BLOCK.match(name)) is None:
        return name
    rest = _PART.sub(
        lambda part: f"layer.{int(part[2]) - 1}.{_PARTS[part[1]]}.", name[block.end() :]
    )
    return f"encoder.stages.{int(block[1]) - 1}.layers.{block[2]}.{rest}"


def _name(model: nn.Module) -> str:
    return type(model).__name__
