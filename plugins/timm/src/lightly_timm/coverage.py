"""Try a model as a run would use it: what the tests and the table in the docs are made of."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import timm
import torch

from lightly_core.models.probing import freeze_unused
from lightly_timm.building import build, without_memory
from lightly_timm.wrapper import TimmWrapper, wrap_timm


@dataclass(frozen=True)
class Coverage:
    """What a model did.

    Attributes:
        name: timm's name.
        parameters: How many it has.
        wrapper: Class of the wrapper, which tells its abilities.
        feature_dim: D.
        sizes: Image sizes in pixels that were tried, (height, width).
        grids: Feature positions at these sizes, (rows, columns).
        unused: Parameters that features and pooling do not depend on: the classifier.
    """

    name: str
    parameters: int
    wrapper: str
    feature_dim: int
    sizes: tuple[tuple[int, int], ...]
    grids: tuple[tuple[int, int], ...]
    unused: tuple[str, ...]


def families() -> list[str]:
    """Return timm's modules with models, such as ``resnet``."""
    return list(timm.list_modules())


def smallest_model(family: str) -> tuple[str, int]:
    """Return a family's model with the fewest parameters, and their number.

    Args:
        family: One of `families`.
    """
    sizes: dict[str, int] = {}
    for name in timm.list_models(module=family):
        with without_memory():
            model = timm.create_model(name)
        sizes[name] = sum(parameter.numel() for parameter in model.parameters())
    name = min(sizes, key=lambda key: sizes[key])
    return name, sizes[name]


def cover(name: str, *, num_input_channels: int = 3, on_meta: bool = False) -> Coverage:
    """Run a model forward at two image sizes, or the one that it takes, and backward.

    Args:
        name: A model of timm.
        num_input_channels: Channels of the images.
        on_meta: Do it without numbers, for models too large for memory. Only shapes are checked
            then, and which parameters get a gradient.

    Raises:
        ConfigError: The model cannot be wrapped.
        AssertionError: Something that comes out is not as it must be.
    """
    device = "meta" if on_meta else "cpu"
    with without_memory() if on_meta else nullcontext():
        model, _ = build(name, num_input_channels, {})
    wrapper = wrap_timm(model, num_input_channels)
    sizes = _sizes(wrapper)
    batches = [torch.randn(2, num_input_channels, *size).to(device) for size in sizes]
    wrapper.eval()
    with torch.no_grad():
        grids = [_forward(wrapper, images) for images in batches]
    if len(sizes) > 1 and wrapper._anatomy.grid is None:
        _require(grids[0][1] < grids[1][1], f"grids {grids} do not grow with the images")
    unused = _backward(wrapper, batches[0])
    return Coverage(
        name=name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        wrapper=type(wrapper).__name__,
        feature_dim=wrapper.feature_dim(),
        sizes=tuple(sizes),
        grids=tuple(grids),
        unused=tuple(unused),
    )


def _sizes(wrapper: TimmWrapper) -> list[tuple[int, int]]:
    anatomy = wrapper._anatomy
    if not anatomy.any_size:
        return [anatomy.size]
    step = math.lcm(32, *anatomy.multiple)
    side = -(-128 // step) * step
    return [(side, side), (side, 2 * side)]


def _forward(wrapper: TimmWrapper, images: torch.Tensor) -> tuple[int, int]:
    dim = wrapper.feature_dim()
    found = wrapper.forward_features(images)
    pooled = wrapper.forward_pool(found)["pooled_features"]
    batch, width, rows, columns = found["features"].shape
    _require((batch, width) == (2, dim), f"features {tuple(found['features'].shape)}, D={dim}")
    _require(tuple(pooled.shape) == (2, dim, 1, 1), f"pooled features {tuple(pooled.shape)}")
    if images.device.type != "meta":
        finite = bool(found["features"].isfinite().all() and pooled.isfinite().all())
        _require(finite, "features are not finite")
    if "cls_token" in found:
        token = tuple(found["cls_token"].shape)
        _require(token == (2, dim), f"class token {token}")
    return rows, columns


def _backward(wrapper: TimmWrapper, images: torch.Tensor) -> list[str]:
    """Train one step's worth; return the parameters that nothing depends on."""
    unused = freeze_unused(wrapper, images.shape[1], (images.shape[-2], images.shape[-1]))
    wrapper.train()
    found = wrapper.forward_features(images)
    outputs = {**found, **wrapper.forward_pool(found)}
    sums = [(value * torch.randn_like(value)).sum() for value in outputs.values()]
    torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
    trainable = {n: p for n, p in wrapper.named_parameters() if p.requires_grad}
    without = [name for name, parameter in trainable.items() if parameter.grad is None]
    _require(not without, f"no gradient for {without[:5]}")
    _require(
        sum(p.numel() for p in trainable.values()) > 0 and len(trainable) > len(unused),
        f"features depend on {len(trainable)} parameters only, not on {unused[:5]}",
    )
    return unused


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
