"""Compare what a written file computes with what the network computes, on random images."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from lightly_core.contracts.format import ExportedNetwork, Outputs, Written
from lightly_core.errors import RunError

log = logging.getLogger(__name__)

#: Numbers of images in the compared batches. Neither is that of the example of a graph.
BATCHES = (1, 3)


def random_images(network: ExportedNetwork, batch: int, size: tuple[int, int]) -> Tensor:
    """Return normal numbers (B, C, H, W), the same for the same arguments."""
    generator = torch.Generator().manual_seed(1000 * batch + size[0])
    return torch.randn(batch, network.preprocessing.num_channels, *size, generator=generator)


def other_size(network: ExportedNetwork, expected: Outputs) -> tuple[int, int] | None:
    """Return a second size, larger by a few positions of the feature map.

    Args:
        network: The network.
        expected: The function that must work for the size.

    Returns:
        (height, width) in pixels; None if the network takes images of one size only.
    """
    height, width = network.preprocessing.size
    with torch.no_grad():
        images = random_images(network, 1, (height, width))
        rows, columns = network.wrapper.forward_features(images)["features"].shape[-2:]
        vertical, horizontal = math.ceil(height / rows), math.ceil(width / columns)
        size = (height + 2 * vertical, width + horizontal)
        try:
            expected(random_images(network, 1, size))
        except Exception:  # a model may raise any error for a size that it does not take
            return None
    return size


def difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Return the largest difference, as a fraction of the largest absolute expected value.

    Returns:
        inf if numbers or shapes of the tensors differ, or if a value is not finite.
    """
    if [one.shape for one in found] != [one.shape for one in expected]:
        return math.inf
    largest = 0.0
    for one, other in zip(found, expected, strict=True):
        if other.numel() == 0:
            continue
        scale = other.abs().max().item() or 1.0
        value = (one.to(other.dtype) - other).abs().max().item() / scale
        largest = max(largest, value if math.isfinite(value) else math.inf)
    return largest


def agrees(
    network: ExportedNetwork,
    found: Outputs,
    expected: Outputs,
    sizes: list[tuple[int, int]],
    tolerance: float = 1e-3,
) -> bool:
    """Return whether a function reproduces another for images of several sizes."""
    with torch.no_grad():
        for batch, size in zip(BATCHES, sizes, strict=False):
            images = random_images(network, batch, size)
            try:
                value = difference(found(images), expected(images))
            except Exception:  # a graph may raise any error for a size that it does not take
                return False
            if value > tolerance:
                return False
    return True


def largest_difference(
    network: ExportedNetwork, found: Outputs, expected: Outputs, written: Written
) -> tuple[float, list[tuple[int, int, int]]]:
    """Compare a file with the network on random images of up to two sizes and batch sizes.

    Args:
        network: The network.
        found: The function in the file.
        expected: The function of the network.
        written: What of the shape is fixed in the file.

    Returns:
        The largest difference, see `difference`, and the shapes (B, H, W) that were compared.

    Raises:
        RunError: The file cannot compute one of the batches.
    """
    size = network.preprocessing.size
    second = other_size(network, expected) if written.any_size else None
    batches = BATCHES if written.any_batch else (2,)
    shapes = [(batches[0], *size), (batches[-1], *(second or size))]
    largest = 0.0
    with torch.no_grad():
        for batch, height, width in dict.fromkeys(shapes):
            images = random_images(network, batch, (height, width))
            wanted = expected(images)
            try:
                got = found(images)
            except Exception as error:  # another tool may raise any error
                raise RunError(
                    f"the written file cannot compute {batch} images of {height} x {width} pixels: "
                    f"{type(error).__name__}: {str(error)[:300]}"
                ) from error
            largest = max(largest, difference(got, wanted))
    return largest, list(dict.fromkeys(shapes))
