"""The contracts of data: a sample, a batch, and the transform that creates their views.

Shapes: B images on this process, C input channels, H and W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightly_core.config.options.transform import TransformArgs


@dataclass
class Sample:
    """One image after the worker's stage.

    Attributes:
        index: Position in the source.
        views: One tensor (C, H, W) per view, uint8, or float32 in [0, 1] for images of more than 8
            bit.
        parameters: One float32 vector per view with the parameters of the second stage. They are
            sampled in the worker, so that they depend only on seed, epoch and index.
        extras: Tensors that the method has requested from the worker, such as masks.
        skipped: ``(index, name, reason)`` of the unreadable files that this image replaces.
        view_id: See `Batch.view_ids`.
        crops: Crop of each view, one (6,) per view as in `Batch.crops`. Empty if not requested.
        notes: ``(name, text)`` of messages of a library while it read the file, set by the loader.
    """

    index: int
    views: list[Tensor]
    parameters: list[Tensor]
    extras: dict[str, Tensor] = field(default_factory=dict)
    skipped: list[tuple[int, str, str]] = field(default_factory=list)
    view_id: int = -1
    crops: list[Tensor] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Batch:
    """Input of a method's `training_step`.

    Attributes:
        views: One normalised float tensor (B, C, H, W) per view. Row i of each is image i.
        indices: Position of each image in the source, (B,) int64.
        extras: Stacked `Sample.extras`, first dimension B.
        view_ids: (B,) int64, always on the CPU. If views repeat with period K
            (`MethodConfig.view_period`), the number ``index * K + epoch % K`` in [0, N * K). Equal
            numbers mean equal views. -1: these views do not repeat, or the image could not be read
            and another one replaces it. None: -1 for all images.
        crops: Crop of each view, one float32 tensor (B, 6) per view on the device of the views:
            left, top, width and height as fractions of the image's width and height, in [0, 1];
            then 1 if the view is mirrored left-right, else 0; and the same for top-bottom. Empty
            unless the method needs it (`Requires.crops`).
        num_global: Number of global views, which come first; None: all views are global.
    """

    views: list[Tensor]
    indices: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    view_ids: Tensor | None = None
    crops: list[Tensor] = field(default_factory=list)
    num_global: int | None = None

    @property
    def global_views(self) -> list[Tensor]:
        """The global views, G tensors (B, C, H, W)."""
        return self.views[: self.num_global]

    @property
    def local_views(self) -> list[Tensor]:
        """The local views, which are smaller crops, L tensors (B, C, H, W); may be empty."""
        return [] if self.num_global is None else self.views[self.num_global :]

    def extra(self, name: str) -> Tensor:
        """Return one of `extras` on the device of the views."""
        return self.extras[name].to(self.views[0].device, non_blocking=True)


class Transform(ABC):
    """Creates the views of an image in two stages.

    A run builds it with this one argument, by position.

    Args:
        config: Options of the transform, an instance of the class that its `TransformRecord`
            names, which is a subclass of `lightly_core.config.method.TransformArgs`.
    """

    def __init__(self, config: TransformArgs | None = None) -> None:
        self.config = config

    @abstractmethod
    def sample(
        self, image: Image.Image | np.ndarray, rng: np.random.Generator, index: int
    ) -> Sample:
        """First stage, in a worker: crop, resize, flip, and sample the second stage's parameters.

        Args:
            image: A decoded image: Pillow in mode L or RGB, or an array (H, W, C), uint8, or
                float32 in [0, 1].
            rng: The only source of randomness.
            index: Stored in the sample.
        """

    @abstractmethod
    def views(self, pixels: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        """Second stage, on the training device: photometric changes and normalisation.

        Args:
            pixels: One tensor (B, C, H, W) per view on the training device, uint8 or float32 in
                [0, 1].
            parameters: One tensor (B, P) per view, on the CPU.

        Returns:
            One normalised float32 tensor (B, C, H, W) per view.
        """


class ViewPlan(ABC):
    """The random choices of an image's views, made before the image is decoded.

    Attributes:
        least_scale: Fraction of the image's sides, in (0, 1], to which it may be shrunk so that no
            crop has to be enlarged more than without shrinking.
    """

    least_scale: float

    @abstractmethod
    def make(self, image: Image.Image | np.ndarray) -> Sample:
        """Create the sample that `Transform.sample` returns.

        Args:
            image: The decoded image, as for `Transform.sample`. It may be smaller than the size
                for which the choices were made, by the same factor in height and width.
        """


@runtime_checkable
class PlanningTransform(Protocol):
    """A transform that samples all random numbers before the image is decoded.

    Large JPEGs are then decoded at the smallest size that the sampled crops need. A run uses this
    method of a `Transform` instead of `sample`, unless a subclass overrides `sample` alone.
    """

    def plan(self, size: tuple[int, int], rng: np.random.Generator, index: int) -> ViewPlan:
        """Sample the views of an image.

        Args:
            size: (height, width) of the image in pixels.
            rng: The only source of randomness.
            index: Stored in the sample.
        """
        ...


class ViewTensors(NamedTuple):
    """The views of a batch before the second stage, see `RawBatch` for the shapes.

    Attributes:
        pixels: One tensor (B, C, H, W) per view on the training device.
        parameters: One float32 tensor (B, P) per view, on the CPU.
        crops: One tensor (B, 6) per view as in `Batch.crops`. Empty if the method needs none.
    """

    pixels: list[Tensor]
    parameters: list[Tensor]
    crops: list[Tensor]


class MemoryViews(ABC):
    """Creates the first stage's views of images in memory, many images at a time."""

    @abstractmethod
    def sample(self, keys: Sequence[tuple[int, int]]) -> Any:  # noqa: ANN401 - the maker's own
        """Sample the random parameters of images ``(epoch, index)``.

        Those of an image depend only on seed, epoch and index, as in `Transform.sample`.
        """

    @abstractmethod
    def make(self, sampled: Any, rows: slice, indices: Tensor) -> ViewTensors:  # noqa: ANN401
        """Create the views of some of the images.

        Args:
            sampled: Parameters that `sample` returned for M images.
            rows: Slice of B of the M images, with a start and a stop.
            indices: Positions of the images whose pixels are used, (B,) int64.
        """


@runtime_checkable
class InMemoryTransform(Protocol):
    """A transform that can keep images in memory and create their views on the device.

    If ``in_memory`` allows it, a run uses this method of a `Transform`.
    """

    def from_memory(
        self,
        images: Tensor,
        *,
        seed: int,
        make_generator: Callable[[int, int, int], np.random.Generator],
        device: torch.device,
    ) -> MemoryViews:
        """Return the object that creates the views.

        Args:
            images: All images, (N, H, C, W) uint8.
            seed: Seed of the run.
            make_generator: Returns the generator of ``(seed, epoch, index)``, the one that `sample`
                gets in a worker.
            device: Device on which views are created.
        """
        ...


class SampleExtras(Protocol):
    """Creates tensors that belong to an image and are sampled again in every epoch."""

    def __call__(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Return tensors by name, of the same shape and type for every image.

        Args:
            rng: The only source of randomness. It depends on seed, epoch and image, and differs
                from the generator of the views.
        """
        ...
