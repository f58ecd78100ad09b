"""Features of a frozen backbone, without changes to the model or the random state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from lightly_core.contracts import ModelWrapper, Transform
from lightly_core.data.dataset import RawBatch
from lightly_core.evaluation.rows import FeatureRows
from lightly_core.parts.modes import modes_of, set_modes
from lightly_core.progress import progress

#: Numbers of the images of one forward pass on a CPU: 8 images of 224 pixels. What a layer computes
#: for them stays in the cache. For larger tensors, the allocator gets new memory each time.
_CPU_VALUES = 8 * 3 * 224 * 224


def extract_features(
    wrapper: ModelWrapper,
    batches: Iterable[RawBatch],
    transform: Transform,
    device: torch.device | str,
    *,
    precision: torch.dtype | None = None,
    channels_last: bool = False,
    total: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the pooled features of every image with the model in eval mode.

    The model's train or eval mode, its buffers and torch's random state are restored afterwards,
    so a run with evaluation trains exactly like one without.

    Args:
        wrapper: Model with its parameters on `device`.
        batches: Output of the transform's first stage. Only the first view is used; empty batches
            are skipped.
        transform: Computes the second stage; should not be random.
        device: Where the features are computed.
        precision: Type for autocast, e.g. ``torch.bfloat16``; None computes in the type of
            the weights.
        channels_last: Whether to pass images in channels-last memory format.
        total: Number of images, unreadable ones included; None if it is not known. It shows the
            progress, and features are then written to their place instead of collected.

    Returns:
        Features (N, D) float32 and the images' positions in their source (N,) int64, both on
        the CPU, in the order of `batches`. Large features are in a file, see `FeatureRows`.

    Raises:
        RunError: The disk has no space for a file of features.
    """
    device = torch.device(device)
    features = FeatureRows(wrapper.feature_dim(), total)
    indices = [torch.empty(0, dtype=torch.int64)]
    with frozen(wrapper, device), progress("Computing features", total) as task:
        for batch in batches:
            task.advance(len(batch.indices) + len(batch.skipped))
            if len(batch.indices) == 0:
                continue
            pooled = batch_features(
                wrapper, batch, transform, device, precision=precision, channels_last=channels_last
            )
            features.add(pooled)  # (B, D)
            indices.append(batch.indices.cpu())
    return features.finish(), torch.cat(indices)


def batch_features(
    wrapper: ModelWrapper,
    batch: RawBatch,
    transform: Transform,
    device: torch.device,
    *,
    kind: str = "pooled",
    precision: torch.dtype | None = None,
    channels_last: bool = False,
) -> Tensor:
    """Compute the features of one batch; to be called within `frozen`.

    Args:
        wrapper: As in `extract_features`.
        batch: At least one image.
        transform: As in `extract_features`.
        device: As in `extract_features`.
        kind: ``pooled``, ``class_token`` for models that have one, or ``patch``.
        precision: As in `extract_features`.
        channels_last: As in `extract_features`.

    Returns:
        (B, D) float32 on the device; with ``patch`` the map (B, D, h, w).
    """
    pixels = batch.pixels[0].to(device, non_blocking=True)  # (B, C, H, W)
    images = transform.views([pixels], batch.parameters[:1])[0].to(_weight_dtype(wrapper))
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
        found = [
            _features(wrapper, part, kind)
            for part in torch.split(images, _at_once(images, precision))
        ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _at_once(images: Tensor, precision: torch.dtype | None) -> int:
    """Return how many images are passed to the network at once."""
    # Autocast converts frozen weights again in each pass.
    if images.device.type != "cpu" or precision is not None:
        return len(images)
    return max(1, _CPU_VALUES // images[0].numel())


def _features(wrapper: ModelWrapper, images: Tensor, kind: str) -> Tensor:
    """Return the features of normalised images (b, C, H, W), see `batch_features`."""
    found = wrapper.forward_features(images)
    if kind == "patch":
        return found["features"].float()
    if kind == "class_token":
        return found["cls_token"].float()
    return wrapper.forward_pool(found)["pooled_features"].flatten(1).float()


@contextmanager
def frozen(wrapper: ModelWrapper, device: torch.device) -> Iterator[None]:
    """Use eval mode without gradients; afterwards modes and random states are restored.

    Args:
        wrapper: The model; the mode of each of its modules is restored.
        device: The random state of this device and of the CPU is restored.
    """
    # A loader takes its workers' seed from the global generator when its iteration starts.
    with _kept_random_state(device), _eval_mode(cast(nn.Module, wrapper)), torch.no_grad():
        yield


def _weight_dtype(wrapper: ModelWrapper) -> torch.dtype:
    """Return the type of the weights: float32 unless the run is in "true" lower precision."""
    for parameter in wrapper.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.float32


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch to eval mode, and restore the mode of every submodule afterwards."""
    modes = modes_of(model)
    model.eval()
    try:
        yield
    finally:
        set_modes(model, modes)


@contextmanager
def _kept_random_state(device: torch.device) -> Iterator[None]:
    """Restore the state of torch's generators of the CPU and of `device` afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
