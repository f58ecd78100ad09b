"""Find a model's features, their dimension, and how the model pools them.

There is no list of models. The forward pass is traced and run on the meta device at two image
sizes. The last output before the classifier that grows with the image is the feature map.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx, nn

from lightly_core.errors import ConfigError
from lightly_core.parts.known_shapes import KnownShapes
from lightly_torchvision.tracing import (
    WRAP_BY_HAND,
    TracedFunction,
    compile_graph,
    cut,
    is_dropout,
    mark_modules,
    meta_twin,
    module_of,
    trace,
)

Layout = Literal["NCHW", "NHWC", "tokens"]
Shape = tuple[int, ...]
Shapes = dict[fx.Node, Shape]

_BATCH = 2
_FIRST_SIZE = 224
_STEP = 64  # A multiple of all common strides, so that the second size is as good as the first.
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class Anatomy:
    """What was found in a model.

    Attributes:
        dim: Dimension D of the features.
        layout: ``NCHW`` (B, D, h, w), ``NHWC`` (B, h, w, D) or ``tokens`` (B, prefix + h * w, D).
        num_prefix_tokens: Number of tokens before the patch tokens.
        grid: Feature positions (h, w) for the image size `size`.
        size: Height and width in pixels with which the model was run.
        any_size: Whether it takes other sizes as well.
        features: Image to features in `layout`, for evaluation (False) and training (True).
        pool: Features to (B, D) or (B, D, 1, 1) as the model itself does it, for both modes.
            None where the model has no such step.
    """

    dim: int
    layout: Layout
    num_prefix_tokens: int
    grid: tuple[int, int]
    size: int
    any_size: bool
    features: dict[bool, TracedFunction]
    pool: dict[bool, TracedFunction] | None


@dataclass(frozen=True)
class _Features:
    node: fx.Node
    layout: Layout
    dim: int
    num_prefix_tokens: int
    grid: tuple[int, int]


@dataclass(frozen=True)
class _Parts:
    features: _Features
    pooled: fx.Node | None


class _Recorder(fx.Interpreter):
    """Run a graph and keep the shape of every tensor."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(model, graph=graph)
        self.shapes: Shapes = {}

    def run_node(self, n: fx.Node) -> object:
        """Run one operation."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            # Some versions of torch compute an empty map on the meta device where an image is
            # smaller than the kernel of a convolution. With data it fails.
            if 0 in value.shape:
                raise ValueError(f"{n} gives an empty tensor of shape {tuple(value.shape)}")
            self.shapes[n] = tuple(value.shape)
        return value


def examine(model: nn.Module, num_input_channels: int) -> Anatomy:
    """Inspect a classification model. The model and the random state stay as they are.

    Args:
        model: Takes images (B, C, H, W), returns class scores (B, K).
        num_input_channels: C.

    Raises:
        ConfigError: The forward pass cannot be followed, or has no feature map.
    """
    twin = meta_twin(model)
    graphs: dict[bool, fx.Graph] = {}
    for training in (False, True):
        twin.train(training)
        graphs[training] = trace(twin)
        mark_modules(graphs[training], twin)
    # Shapes are the same in both modes; a batch norm takes far longer in training.
    twin.eval()
    shapes = _shapes_at_working_sizes(twin, graphs[False], num_input_channels)
    parts = {False: _parts(model, graphs[False], list(shapes.values()))}
    if compile_graph(graphs[True]).source == compile_graph(graphs[False]).source:
        parts[True] = parts[False]
    else:
        others = [_run(twin, graphs[True], num_input_channels, size) for size in shapes]
        parts[True] = _parts(model, graphs[True], others)

    features = parts[False].features
    sizes = list(shapes)
    has_pool = all(part.pooled is not None for part in parts.values())
    return Anatomy(
        dim=features.dim,
        layout=features.layout,
        num_prefix_tokens=features.num_prefix_tokens,
        grid=features.grid,
        size=sizes[0],
        any_size=len(sizes) > 1,
        features={mode: compile_graph(cut(end=part.features.node)) for mode, part in parts.items()},
        pool={
            mode: compile_graph(cut(start=part.features.node, end=part.pooled, keep_dropout=False))
            for mode, part in parts.items()
            if part.pooled is not None
        }
        if has_pool
        else None,
    )


def _parts(model: nn.Module, graph: fx.Graph, shapes: Sequence[Shapes]) -> _Parts:
    features = _find_features(model, graph, shapes)
    return _Parts(features, _find_pooled(graph, features, shapes))


def _run(model: nn.Module, graph: fx.Graph, channels: int, size: int) -> Shapes:
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    image = torch.empty(_BATCH, channels, size, size, device="meta", dtype=dtype)
    recorder = _Recorder(model, graph)
    with torch.no_grad(), KnownShapes():
        recorder.run(image)
    return recorder.shapes


def _shapes_at_working_sizes(model: nn.Module, graph: fx.Graph, channels: int) -> dict[int, Shapes]:
    """Return the shapes at two image sizes that the model takes, or at the only one."""
    # Strides are multiples of 8, or 14 in some vision transformers.
    others = sorted({*range(16, 1025, 8), *range(14, 1025, 14)})
    reason: Exception | None = None
    for size in (_FIRST_SIZE, *others):
        # Whatever the model raises means that it does not take the size.
        try:
            shapes = {size: _run(model, graph, channels, size)}
        except Exception as error:
            reason = reason or error
            continue
        with contextlib.suppress(Exception):
            shapes[size + _STEP] = _run(model, graph, channels, size + _STEP)
        return shapes
    first_line = str(reason).partition("\n")[0]
    raise ConfigError(
        f"{type(model).__name__} takes no square image of {channels} channels; with "
        f"{_FIRST_SIZE} pixels it fails with: {first_line}\n  {WRAP_BY_HAND}"
    )


def _find_features(model: nn.Module, graph: fx.Graph, shapes: Sequence[Shapes]) -> _Features:
    """Return the last map before the classifier."""
    found: _Features | None = None
    grids: list[tuple[int, int]] = []
    classifier = _convolution_that_classifies(graph, shapes[0])
    for node in graph.nodes:
        if node is classifier:
            break
        # Dropout before a classifier is a part of the classifier.
        if (
            node.op == "placeholder"
            or is_dropout(node)
            or any(node not in known for known in shapes)
        ):
            continue
        at_sizes = [known[node] for known in shapes]
        if axes := _axes_of_grid(at_sizes):
            grids = [(shape[axes[0]], shape[axes[1]]) for shape in at_sizes]
            layout: Layout = "NCHW" if axes == (2, 3) else "NHWC"
            dim = at_sizes[0][1 if layout == "NCHW" else 3]
            found = _Features(node, layout, dim, 0, grids[0])
        elif (prefix := _prefix_tokens(at_sizes, grids)) is not None:
            found = _Features(node, "tokens", at_sizes[0][2], prefix, grids[0])
    if found is None:
        raise ConfigError(
            f"no feature map found in {type(model).__name__}: nothing that it computes grows with "
            f"the image\n  {WRAP_BY_HAND}"
        )
    return found


def _axes_of_grid(shapes: Sequence[Shape]) -> tuple[int, int] | None:
    """Return the axes of height and width, None if this is not a map."""
    first, last = shapes[0], shapes[-1]
    if len(first) != 4 or len(last) != 4 or first[0] != _BATCH:
        return None
    for height, width, channels in ((2, 3, 1), (1, 2, 3)):
        if len(shapes) == 1:
            is_map = first[height] == first[width] > 1
        else:
            is_map = (
                first[height] < last[height]
                and first[width] < last[width]
                and first[channels] == last[channels]
            )
        if is_map:
            return height, width
    return None


def _prefix_tokens(shapes: Sequence[Shape], grids: Sequence[tuple[int, int]]) -> int | None:
    """Return how many tokens come before those of the image, None if these are no tokens."""
    if not grids or any(len(shape) != 3 or shape[0] != _BATCH for shape in shapes):
        return None
    counts = {
        shape[1] - height * width for shape, (height, width) in zip(shapes, grids, strict=True)
    }
    count = counts.pop()
    return count if not counts and 0 <= count <= _MOST_PREFIX_TOKENS else None


def _convolution_that_classifies(graph: fx.Graph, shapes: Shapes) -> fx.Node | None:
    """Return the convolution that computes class scores at every position, as in SqueezeNet."""
    scores = next(node for node in graph.nodes if node.op == "output").args[0]
    last: fx.Node | None = None
    for node in graph.nodes:
        module = module_of(node)
        if module is not None and any(True for _ in module.parameters()):
            last = node
    if last is None or not isinstance(module_of(last), nn.Conv2d):
        return None
    return last if shapes[last][1] == shapes[scores][1] else None


def _find_pooled(graph: fx.Graph, features: _Features, shapes: Sequence[Shapes]) -> fx.Node | None:
    """Return the last (B, D) or (B, D, 1, 1) that is computed from the features alone."""
    pooled_shapes = ((_BATCH, features.dim), (_BATCH, features.dim, 1, 1))
    inside = {features.node}
    found: fx.Node | None = None
    after = False
    for node in graph.nodes:
        after = after or node is features.node
        inputs = node.all_input_nodes
        if not after or not any(other in inside for other in inputs):
            continue
        if not all(other in inside or other.op == "get_attr" for other in inputs):
            continue
        # The classifier begins here, also where its first layer keeps the dimension.
        if isinstance(module_of(node), (nn.Linear, nn.Conv2d)):
            break
        inside.add(node)
        if node.op != "output" and all(known.get(node) in pooled_shapes for known in shapes):
            found = node
    return found
