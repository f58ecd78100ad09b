"""The views of `TwoStageTransform`, computed from images in memory on the training device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lightly_core.contracts.data import MemoryViews, ViewTensors
from lightly_core.data.views.batch_sampling import SampledView, ViewSampler
from lightly_core.data.views.geometry import describe_crops
from lightly_core.data.views.resample import Resampler

if TYPE_CHECKING:
    from lightly_core.data.views.two_stage import TwoStageTransform


class TwoStageMemoryViews(MemoryViews):
    """Creates the views of `TwoStageTransform.sample`, except for the rounding of `resample`.

    Args:
        transform: The transform, without rotation and channel drop.
        images: (N, H, C, W) uint8.
        seed: Seed of the run.
        make_generator: See `InMemoryTransform.from_memory`.
        device: Where views are computed.
    """

    def __init__(
        self,
        transform: TwoStageTransform,
        images: Tensor,
        *,
        seed: int,
        make_generator: Callable[[int, int, int], np.random.Generator],
        device: torch.device,
    ) -> None:
        self._specs = transform.specs
        self._crops = transform.crops
        self._image_size = (images.shape[1], images.shape[3])
        self._resampler = Resampler(images, transform.args.interpolation, device)
        self._sampler = ViewSampler(
            transform.specs,
            self._image_size,
            rgb=transform.rgb,
            seed=seed,
            make_generator=make_generator,
        )

    def sample(self, keys: Sequence[tuple[int, int]]) -> list[SampledView]:
        """Sample the random numbers of images ``(epoch, index)``; returns one entry per view."""
        return self._sampler.sample(keys)

    def make(self, sampled: Sequence[SampledView], rows: slice, indices: Tensor) -> ViewTensors:
        """Create the views of some of the images, see `MemoryViews.make`."""
        views = [view.part(rows.start, rows.stop) for view in sampled]
        return ViewTensors(
            pixels=[
                self._resampler(indices, view, spec.size)
                for view, spec in zip(views, self._specs, strict=True)
            ],
            parameters=[torch.from_numpy(np.ascontiguousarray(view.vectors)) for view in views],
            crops=[self._crop(view) for view in views if self._crops],
        )

    def _crop(self, view: SampledView) -> Tensor:
        flips = (view.mirror, view.upside_down)
        return torch.from_numpy(describe_crops(view.boxes, *flips, self._image_size))
