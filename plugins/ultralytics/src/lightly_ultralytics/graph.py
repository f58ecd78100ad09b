"""Which layers of a model have to run for its features, and how to run only those.

Ultralytics' models are lists of layers. Each layer knows where its input comes from: ``f``, the
index of another layer, counted from the layer itself where negative, or a list of such indices.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightly_core.errors import ConfigError
from lightly_core.parts.known_shapes import KnownShapes

#: In place of a layer's index: the image.
IMAGE = -1

#: Side in pixels of the image with which a model is run: a multiple of all its strides.
_PROBE_SIZE = 256


@dataclass(frozen=True)
class Step:
    """One layer to run.

    Attributes:
        layer: Its index.
        sources: Layers whose outputs it takes, or `IMAGE`.
        takes_list: Whether it takes a list of them, not one.
        done: Layers whose outputs are not needed after this step.
    """

    layer: int
    sources: tuple[int, ...]
    takes_list: bool
    done: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The layers that certain outputs depend on, in their order.

    Attributes:
        steps: The layers to run.
        outputs: Layers whose outputs are wanted.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def run(self, layers: nn.Module, x: Tensor) -> list[Tensor]:
        """Compute the wanted outputs of images (B, C, H, W)."""
        values: dict[int, Any] = {IMAGE: x}  # Some layers return tuples.
        children = list(layers.children())
        for step in self.steps:
            inputs = [values[source] for source in step.sources]
            values[step.layer] = children[step.layer](inputs if step.takes_list else inputs[0])
            for index in step.done:
                del values[index]
        return [values[index] for index in self.outputs]


@dataclass(frozen=True)
class Anatomy:
    """What was found in a model.

    Attributes:
        features: To compute the backbone's last map.
        feature_dim: Its dimension.
        backbone_maps: To compute the maps that the backbone hands to the neck, finest first.
        backbone_dims: Their dimensions.
        neck_maps: To compute the maps that the neck hands to the head, finest first; None for
            models without a neck, such as classifiers.
        neck_dims: Their dimensions.
        stride: Largest stride in pixels of any map.
    """

    features: Plan
    feature_dim: int
    backbone_maps: Plan
    backbone_dims: tuple[int, ...]
    neck_maps: Plan | None
    neck_dims: tuple[int, ...]
    stride: int


def layers_of(model: nn.Module) -> nn.Sequential:
    """Return the list of layers of a model.

    Raises:
        ConfigError: It is not built like a model of ultralytics.
    """
    layers = getattr(model, "model", None)
    if not (
        isinstance(layers, nn.Sequential)
        and len(layers) > 1
        and all(hasattr(layer, "f") for layer in layers)
    ):
        raise ConfigError(
            f"{type(model).__module__}.{type(model).__name__} is not a model of ultralytics that "
            "can be pretrained\n  expected a YOLO or RTDETR object or its .model, which is a list "
            "of layers"
        )
    return layers


def examine(model: nn.Module, num_input_channels: int, *, neck: bool) -> Anatomy:
    """Find a model's backbone and neck. The model and the random state stay as they are.

    Args:
        model: For example an `ultralytics.nn.tasks.DetectionModel`.
        num_input_channels: C.
        neck: Whether to inspect the neck too. Otherwise `Anatomy.neck_maps` is None.

    Raises:
        ConfigError: It has no backbone that can be run alone.
    """
    layers = layers_of(model)
    sources = [_sources(layer, index) for index, layer in enumerate(layers)]
    end = _backbone_end(model, layers, sources, num_input_channels)
    handed_on = {
        source for taken in sources[end + 1 :] for source in taken if IMAGE < source <= end
    }
    wanted = sorted(handed_on | {end})
    has_neck = neck and len(layers) - end > 2
    neck_outputs = [source for source in sources[-1] if source > IMAGE] if has_neck else []
    shapes = _shapes(layers, sources, [*wanted, *neck_outputs], num_input_channels)
    backbone_order, neck_order = _finest_first(wanted, shapes), _finest_first(neck_outputs, shapes)
    return Anatomy(
        features=_plan(layers, sources, [end]),
        feature_dim=shapes[end][1],
        backbone_maps=_plan(layers, sources, backbone_order),
        backbone_dims=tuple(shapes[index][1] for index in backbone_order),
        neck_maps=_plan(layers, sources, neck_order) if neck_order else None,
        neck_dims=tuple(shapes[index][1] for index in neck_order),
        stride=round(_PROBE_SIZE / min(shape[2] for shape in shapes.values())),
    )


def _sources(layer: nn.Module, index: int) -> tuple[int, ...]:
    """Return the layers that a layer takes its input from; before the first comes `IMAGE`."""
    given: Any = layer.f
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    return tuple(int(source) + index if source < 0 else int(source) for source in listed)


def _plan(
    layers: nn.Sequential, sources: Sequence[tuple[int, ...]], outputs: Sequence[int]
) -> Plan:
    needed = set(outputs)
    for index in range(max(outputs), -1, -1):
        if index in needed:
            needed.update(source for source in sources[index] if source > IMAGE)
    last_use = {source: index for index in sorted(needed) for source in sources[index]}
    steps = tuple(
        Step(
            layer=index,
            sources=sources[index],
            takes_list=isinstance(layers[index].f, (list, tuple)),
            done=tuple(
                source
                for source in sorted(set(sources[index]))
                if last_use[source] == index and source not in outputs
            ),
        )
        for index in sorted(needed)
    )
    return Plan(steps, tuple(outputs))


def _backbone_end(
    model: nn.Module, layers: nn.Sequential, sources: Sequence[tuple[int, ...]], channels: int
) -> int:
    """Return the index of the backbone's last layer."""
    config = getattr(model, "yaml", None)
    rows = config.get("backbone") if isinstance(config, dict) else None
    if isinstance(rows, list) and 0 < len(rows) < len(layers):
        return len(rows) - 1
    # The model does not state it. The backbone is what comes before the first layer that enlarges
    # a map. Where there is no such layer, it is all but the head.
    everything = [source for source in sources[-1] if source > IMAGE]
    shapes = _shapes(layers, sources, everything, channels)
    for index in sorted(shapes):
        taken = [shapes[source][2] for source in sources[index] if source in shapes]
        if taken and shapes[index][2] > max(taken):
            return max(source for source in sources[index] if source in shapes)
    return max(everything)


def _shapes(
    layers: nn.Sequential,
    sources: Sequence[tuple[int, ...]],
    outputs: Sequence[int],
    channels: int,
) -> dict[int, tuple[int, ...]]:
    """Return the shape of every map (B, D, h, w) on the way to certain outputs.

    Raises:
        ConfigError: A layer fails, or an output is no map.
    """
    plan = _plan(layers, sources, outputs)
    everything = _plan(layers, sources, [step.layer for step in plan.steps])
    twin = _meta_twin(layers, [step.layer for step in plan.steps])
    dtype = next((p.dtype for p in layers.parameters() if p.is_floating_point()), None)
    image = torch.empty(1, channels, _PROBE_SIZE, _PROBE_SIZE, device="meta", dtype=dtype)
    try:
        with torch.no_grad(), KnownShapes():
            found = everything.run(twin, image)
    except Exception as error:  # Layers raise anything when their input is not what they expect.
        first_line = str(error).partition("\n")[0]
        raise ConfigError(
            f"the layers of this model cannot be run without its head on images of {channels} "
            f"channels: {type(error).__name__}: {first_line}\n  models that need a text "
            "prompt, such as YOLO-World, cannot be pretrained"
        ) from error
    shapes = {
        index: tuple(value.shape)
        for index, value in zip(everything.outputs, found, strict=True)
        if isinstance(value, Tensor) and value.ndim == 4
    }
    for index in outputs:
        if index not in shapes:
            raise ConfigError(
                f"layer {index} ({type(layers[index]).__name__}) should give a feature map "
                "(B, D, h, w), but gives something else\n  such a model cannot be pretrained"
            )
    return shapes


def _meta_twin(layers: nn.Sequential, used: Sequence[int]) -> nn.Sequential:
    """Return a copy in evaluation mode with tensors on the meta device."""
    memo: dict[int, Any] = {}
    for tensor in itertools.chain(layers.parameters(), layers.buffers()):
        empty = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
    twin = [
        copy.deepcopy(layer, memo) if index in set(used) else nn.Identity()
        for index, layer in enumerate(layers)
    ]
    return nn.Sequential(*twin).eval()


def _finest_first(outputs: Sequence[int], shapes: dict[int, tuple[int, ...]]) -> list[int]:
    return sorted(outputs, key=lambda index: -shapes[index][2])
