"""Check a wrapper with a trial forward pass before a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper
from lightly_core.errors import ConfigError
from lightly_core.parts.modes import modes_of, set_modes

_BATCH = 2  # More than one image, to detect a wrapper that mixes up the axes.


@dataclass(frozen=True)
class ProbeResult:
    """Properties of a wrapper's features.

    Attributes:
        feature_dim: D.
        feature_size: Feature positions (h, w).
        stride: Pixels per feature position, (vertical, horizontal).
        has_cls_token: Whether there is a class token.
    """

    feature_dim: int
    feature_size: tuple[int, int]
    stride: tuple[float, float]
    has_cls_token: bool


def probe(wrapper: ModelWrapper, channels: int, size: int | tuple[int, int]) -> ProbeResult:
    """Run two images through a wrapper and check its outputs.

    Modes, batch-norm statistics, gradients and random generators stay as they are.

    Args:
        wrapper: Any wrapper.
        channels: C.
        size: Height and width in pixels, or one number for both.

    Raises:
        ConfigError: The wrapper fails, or its outputs do not fit the contract of wrappers.
    """
    name = type(wrapper).__name__
    height, width = (size, size) if isinstance(size, int) else size
    dim = wrapper.feature_dim()
    if not isinstance(dim, int) or dim < 1:
        raise ConfigError(f"{name}.feature_dim() must return a positive int, got {dim!r}")
    with undisturbed(wrapper), torch.no_grad():
        found, pooled = _forward(wrapper, channels, height, width)

    features = _entry(found, "features", f"{name}.forward_features", "(B, D, h, w)", 4)
    _same(f"{name}.forward_features: images in 'features'", features.shape[0], _BATCH)
    if features.shape[1] != dim:
        raise ConfigError(
            f"{name}.forward_features returns {features.shape[1]} channels "
            f"{tuple(features.shape)}, but feature_dim() returns {dim}"
            "\n  correct feature_dim(), or put channels first: (B, D, h, w)"
        )
    if "cls_token" in found:
        token = _entry(found, "cls_token", f"{name}.forward_features", "(B, D)", 2)
        _same(f"{name}.forward_features: shape of 'cls_token'", tuple(token.shape), (_BATCH, dim))
    averages = _entry(pooled, "pooled_features", f"{name}.forward_pool", "(B, D, 1, 1)", 4)
    _same(
        f"{name}.forward_pool: shape of 'pooled_features'",
        tuple(averages.shape),
        (_BATCH, dim, 1, 1),
    )
    rows, columns = features.shape[2:]
    return ProbeResult(dim, (rows, columns), (height / rows, width / columns), "cls_token" in found)


def freeze_unused(wrapper: ModelWrapper, channels: int, size: int | tuple[int, int]) -> list[str]:
    """Freeze the parameters that features and pooling do not depend on, such as a classifier.

    They get no gradients, which would stop distributed training.

    Args:
        wrapper: Any wrapper that passes `probe`.
        channels: C.
        size: Height and width in pixels, or one number for both.

    Returns:
        Names of the parameters, for `unfreeze`.
    """
    height, width = (size, size) if isinstance(size, int) else size
    trainable = {
        name: parameter
        for name, parameter in cast(nn.Module, wrapper).named_parameters()
        if parameter.requires_grad
    }
    with undisturbed(wrapper), torch.enable_grad():
        found, pooled = _forward(wrapper, channels, height, width)
        outputs = [value for value in (*found.values(), *pooled.values()) if value.requires_grad]
        gradients: Iterable[Tensor | None] = [None] * len(trainable)
        if outputs:
            gradients = torch.autograd.grad(
                torch.stack([output.float().sum() for output in outputs]).sum(),
                list(trainable.values()),
                allow_unused=True,
            )
    unused = [name for name, gradient in zip(trainable, gradients, strict=True) if gradient is None]
    for name in unused:
        trainable[name].requires_grad_(False)
    return unused


def unfreeze(wrapper: ModelWrapper, names: Iterable[str]) -> None:
    """Undo `freeze_unused`.

    Args:
        wrapper: The same wrapper, or a copy of it.
        names: What `freeze_unused` returned.
    """
    for name in names:
        cast(nn.Module, wrapper).get_parameter(name).requires_grad_(True)


@contextmanager
def undisturbed(wrapper: ModelWrapper | nn.Module) -> Iterator[None]:
    """Put a wrapper or a module in evaluation mode; restore all modes and the random state."""
    modes = modes_of(wrapper)
    devices = {parameter.device for parameter in wrapper.parameters()}
    cuda = [device for device in devices if device.type == "cuda"]
    try:
        with torch.random.fork_rng(devices=cuda):
            wrapper.eval()
            yield
    finally:
        set_modes(wrapper, modes)


def _forward(
    wrapper: ModelWrapper, channels: int, height: int, width: int
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    parameter = next(iter(wrapper.parameters()), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    generator = torch.Generator().manual_seed(0)
    floating = parameter is not None and parameter.is_floating_point()
    dtype = parameter.dtype if parameter is not None and floating else torch.float32
    images = torch.randn(_BATCH, channels, height, width, generator=generator).to(device, dtype)
    name = type(wrapper).__name__
    try:
        found = wrapper.forward_features(images)
        _entry(found, "features", f"{name}.forward_features", "(B, D, h, w)", 4)
        pooled = wrapper.forward_pool(dict(found))
    except ConfigError:
        raise
    except Exception as error:  # The wrapper may be code of the user.
        raise ConfigError(
            f"{name} fails on images of {channels} channels, {height} x {width} pixels: "
            f"{type(error).__name__}: {error}"
        ) from error
    return found, pooled


def _entry(found: object, key: str, source: str, expected: str, num_axes: int) -> Tensor:
    """Return one entry of a wrapper's output."""
    if not isinstance(found, Mapping) or key not in found:
        got = f"keys {list(found)}" if isinstance(found, Mapping) else type(found).__name__
        raise ConfigError(f"{source} must return a dict with {key!r} {expected}, got {got}")
    value = found[key]
    if not isinstance(value, Tensor):
        raise ConfigError(f"{source}: {key!r} must be a tensor, got {type(value).__name__}")
    if value.ndim != num_axes or not value.is_floating_point():
        raise ConfigError(
            f"{source}: {key!r} must be a float tensor {expected}, got {value.dtype} "
            f"{tuple(value.shape)}"
        )
    return value


def _same(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise ConfigError(f"{what} must be {expected}, got {got}")
