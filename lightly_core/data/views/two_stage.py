"""The transforms of the core: random views for training, one fixed view for evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightly_core.config.options.augmentations import ChannelDropArgs, NormalizeArgs, pair
from lightly_core.config.options.transform import TransformArgs
from lightly_core.contracts import Sample, Transform
from lightly_core.contracts.data import ViewPlan
from lightly_core.data.views import device as device_stage
from lightly_core.data.views import parameters, worker
from lightly_core.data.views.buffers import Buffers
from lightly_core.data.views.from_memory import TwoStageMemoryViews
from lightly_core.data.views.geometry import (
    Geometry,
    describe_crops,
    least_scale,
    sample_geometry,
    sample_kept_channels,
    scaled,
)

_LOGGER = logging.getLogger(__name__)

_EVAL_MARGIN = 256 / 224  # size of the resized image over that of the crop, as for ImageNet
_EVAL_PLAIN_BELOW = 64  # pixels; in smaller images the subject fills the frame
_EVAL_SHRINKING = 2.0  # shorter side of a shrunk JPEG over that of the resized image, at least


class TwoStageTransform(Transform):
    """Random views: geometry in the worker, colours and normalisation on the training device.

    All random numbers are sampled in the worker from the given generator, so the views do not
    depend on the number of processes and workers or on the device. Changes that need red, green
    and blue (saturation, hue, grey) are skipped for other channels, with one warning.

    Args:
        args: The views; also those of multi-crop.
        resampler: ``pillow`` for the same pixels on every machine, or ``torch``, which is
            three to four times as fast on processors with AVX2.
        crops: Whether samples hold the crops of their views. Requires views without
            `random_rotation`.

    Attributes:
        num_channels: Channels of the network's input.
        mean: Mean of each source channel.
        std: Standard deviation of each source channel.
    """

    def __init__(
        self,
        args: TransformArgs,
        *,
        resampler: worker.Resampler = "torch",
        crops: bool = False,
    ) -> None:
        self.args = args
        self.resampler = resampler
        self.crops = crops
        self.specs = args.view_specs()
        self.num_channels = args.channels
        self.source_channels = _source_channels(self.num_channels, args.channel_drop)
        self.mean, self.std = _repeated(args.normalize, self.source_channels)
        self.rgb = _is_rgb(self.num_channels, args.channel_drop)
        self._buffers = Buffers()
        self._warn_about_colour()

    def sample(
        self, image: Image.Image | np.ndarray, rng: np.random.Generator, index: int
    ) -> Sample:
        """Crop, rotate, resize and flip, and sample the parameters of the device stage.

        Args:
            image: A decoded image, see `worker.prepare`.
            rng: The only source of randomness.
            index: Stored in the sample.

        Raises:
            ValueError: The image's channels or number type do not fit.
        """
        source = worker.prepare(image, self.source_channels)
        return self.plan(worker.image_size(source), rng, index).make(source)

    def plan(self, size: tuple[int, int], rng: np.random.Generator, index: int) -> TwoStagePlan:
        """Sample crops, rotations, flips and the parameters of the device stage.

        Args:
            size: (height, width) of the image in pixels.
            rng: The only source of randomness.
            index: Stored in the sample.
        """
        drop = self.args.channel_drop
        kept = None if drop is None else sample_kept_channels(drop, rng)
        views = [
            (sample_geometry(spec, *size, rng), parameters.sample(spec, rng, rgb=self.rgb))
            for spec in self.specs
        ]
        return TwoStagePlan(self, size, index, kept, views)

    def from_memory(
        self,
        images: Tensor,
        *,
        seed: int,
        make_generator: Callable[[int, int, int], np.random.Generator],
        device: torch.device,
    ) -> TwoStageMemoryViews:
        """Create the views of images in memory, see `InMemoryTransform.from_memory`."""
        return TwoStageMemoryViews(
            self, images, seed=seed, make_generator=make_generator, device=device
        )

    @torch.no_grad()
    def views(self, pixels: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        """Apply colour changes, blur and normalisation.

        Args:
            pixels: One tensor (B, C, H, W) per view on the training device.
            parameters: One tensor (B, P) per view, on the CPU.

        Returns:
            One normalised float32 tensor (B, C, H, W) per view.
        """
        return [
            device_stage.photometric(view, vectors, self.mean, self.std, self._buffers)
            for view, vectors in zip(pixels, parameters, strict=True)
        ]

    def _warn_about_colour(self) -> None:
        if self.rgb:
            return
        off = []
        jitters = [spec.color_jitter for spec in self.specs if spec.color_jitter is not None]
        active = [jitter for jitter in jitters if jitter.prob * jitter.strength > 0]
        if any(jitter.saturation > 0 for jitter in active):
            off.append("color_jitter.saturation")
        if any(jitter.hue > 0 for jitter in active):
            off.append("color_jitter.hue")
        if any(spec.random_gray_scale for spec in self.specs):
            off.append("random_gray_scale")
        if off:
            _LOGGER.warning(
                "transform_args: %s switched off, because they need the channels red, green and "
                "blue, but the network has %d other input channel(s); set them to 0 or None to "
                "silence this",
                ", ".join(off),
                self.num_channels,
            )


class TwoStagePlan(ViewPlan):
    """The random choices of `TwoStageTransform` for one image.

    Args:
        transform: The transform.
        size: (height, width) of the image for which the choices were made.
        index: Stored in the sample.
        kept: Channels to keep; None: all.
        views: Geometry and parameters of the device stage of each view.
    """

    def __init__(
        self,
        transform: TwoStageTransform,
        size: tuple[int, int],
        index: int,
        kept: tuple[int, ...] | None,
        views: Sequence[tuple[Geometry, np.ndarray]],
    ) -> None:
        self._transform = transform
        self._size = size
        self._index = index
        self._kept = kept
        self._views = views
        self.least_scale = max(
            least_scale(geometry.box, spec.size)
            for (geometry, _), spec in zip(views, transform.specs, strict=True)
        )

    def make(self, image: Image.Image | np.ndarray) -> Sample:
        """Crop, rotate, resize and flip.

        Raises:
            ValueError: The image's channels or number type do not fit.
        """
        transform, args = self._transform, self._transform.args
        source = worker.prepare(image, transform.source_channels)
        if self._kept is not None:
            source = worker.select_channels(source, self._kept)
        sample = Sample(index=self._index, views=[], parameters=[])
        for (geometry, vector), spec in zip(self._views, transform.specs, strict=True):
            view = worker.make_view(
                source,
                scaled(geometry, self._size, worker.image_size(source)),
                spec.size,
                args.interpolation,
                transform.resampler,
            )
            sample.views.append(view)
            sample.parameters.append(torch.from_numpy(parameters.with_channels(vector, self._kept)))
            if transform.crops:
                flips = ([geometry.mirror], [geometry.upside_down])
                crop = describe_crops([geometry.box], *flips, self._size)[0]
                sample.crops.append(torch.from_numpy(crop))
        return sample


class EvalTransform(Transform):
    """The fixed view of evaluation: resize, centre crop, normalise.

    The shorter side is resized to 256/224 of the view's. Views below 64 pixels show the whole
    image, resized without keeping its aspect ratio.

    Args:
        size: Size of the view in pixels, or (height, width).
        normalize: Normalisation, as in training.
        num_channels: Channels of the network's input.
        interpolation: ``bilinear`` or ``bicubic``, antialiased.
        channel_drop: As in training. The channels that are most often kept are used.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        normalize: NormalizeArgs,
        num_channels: int,
        interpolation: str,
        channel_drop: ChannelDropArgs | None = None,
    ) -> None:
        self.size = pair(size)
        self.num_channels = num_channels
        self.interpolation = interpolation
        self.source_channels = _source_channels(num_channels, channel_drop)
        self.mean, self.std = _repeated(normalize, self.source_channels)
        self.kept: tuple[int, ...] | None = None
        if channel_drop is not None:
            weights = channel_drop.weight_drop
            by_weight = sorted(range(len(weights)), key=lambda channel: weights[channel])
            self.kept = tuple(sorted(by_weight[: channel_drop.num_channels_keep]))

    def sample(
        self, image: Image.Image | np.ndarray, rng: np.random.Generator, index: int
    ) -> Sample:
        """Resize and crop the centre; `rng` is not used.

        Raises:
            ValueError: The image's channels or number type do not fit.
        """
        source = worker.prepare(image, self.source_channels)
        return self.plan(worker.image_size(source), rng, index).make(source)

    def plan(self, size: tuple[int, int], rng: np.random.Generator, index: int) -> EvalPlan:
        """Return how far an image of `size` (height, width) may be shrunk; `rng` is not used.

        It does not depend on the source of the image, so a measurement during a run equals one
        after it.
        """
        return EvalPlan(self, size, index)

    @torch.no_grad()
    def views(self, pixels: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        """Normalise, see `TwoStageTransform.views`."""
        return [
            device_stage.photometric(view, vectors, self.mean, self.std)
            for view, vectors in zip(pixels, parameters, strict=True)
        ]


class EvalPlan(ViewPlan):
    """The fixed view of `EvalTransform` for one image.

    Args:
        transform: The transform.
        size: (height, width) of the image.
        index: Stored in the sample.
    """

    def __init__(self, transform: EvalTransform, size: tuple[int, int], index: int) -> None:
        self._transform = transform
        self._index = index
        side = max(eval_size(transform.size, transform.size))
        self.least_scale = min(1.0, _EVAL_SHRINKING * side / min(size))

    def make(self, image: Image.Image | np.ndarray) -> Sample:
        """Resize and crop the centre.

        Raises:
            ValueError: The image's channels or number type do not fit.
        """
        transform = self._transform
        source = worker.prepare(image, transform.source_channels)
        if transform.kept is not None:
            source = worker.select_channels(source, transform.kept)
        resized = eval_size(worker.image_size(source), transform.size)
        view = worker.resized_centre(source, resized, transform.size, transform.interpolation)
        vector = parameters.with_channels(parameters.neutral(), transform.kept)
        return Sample(index=self._index, views=[view], parameters=[torch.from_numpy(vector)])


def eval_size(image_size: tuple[int, int], view_size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) to which an image is resized before the centre crop."""
    if min(view_size) < _EVAL_PLAIN_BELOW:
        return view_size
    height, width = (round(side * _EVAL_MARGIN) for side in view_size)
    # The relatively shorter side gets exactly the required length, the other one follows.
    if height * image_size[1] >= width * image_size[0]:
        return height, max(width, height * image_size[1] // image_size[0])
    return max(height, width * image_size[0] // image_size[1]), width


def augmentation_grid(
    views: Sequence[Tensor], mean: Sequence[float], std: Sequence[float], max_images: int = 10
) -> np.ndarray:
    """Return a figure of the network's input: one row per image, one column per view.

    One channel is shown as grey, two as their mean, and of more than three the first three.
    Smaller views are padded to the size of the largest.

    Args:
        views: Normalised views, (B, C, H, W) each; H and W may differ.
        mean: Mean of the normalisation, repeated cyclically for more channels.
        std: Standard deviation of the normalisation, repeated likewise.
        max_images: Maximum number of rows.

    Returns:
        Figure (H, W, 3), uint8.
    """
    gap = 2
    height = max(view.shape[2] for view in views) + gap
    width = max(view.shape[3] for view in views) + gap
    num_rows = min(len(views[0]), max_images)
    figure = np.full((num_rows * height + gap, len(views) * width + gap, 3), 255, dtype=np.uint8)
    for column, view in enumerate(views):
        tiles = visible(view[:num_rows], mean, std)  # (N, H, W, 3)
        left = gap + column * width
        for row, tile in enumerate(tiles):
            top = gap + row * height
            figure[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return figure


def visible(view: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return normalised images (B, C, H, W) as they look, (B, H, W, 3) uint8.

    One channel is shown as grey, two as their mean, and of more than three the first three.

    Args:
        view: The images.
        mean: Mean of the normalisation, repeated cyclically for more channels.
        std: Standard deviation of the normalisation, repeated likewise.
    """
    images = view.detach().float().cpu()
    num_channels = images.shape[1]
    means = torch.tensor(list(islice(cycle(mean), num_channels)))[:, None, None]
    stds = torch.tensor(list(islice(cycle(std), num_channels)))[:, None, None]
    images = images * stds + means
    if num_channels < 3:
        images = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    tiles = images[:, :3].clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    return np.asarray(tiles.numpy())


def _source_channels(num_channels: int, channel_drop: ChannelDropArgs | None) -> int:
    return num_channels if channel_drop is None else len(channel_drop.weight_drop)


def _repeated(args: NormalizeArgs, num_channels: int) -> tuple[list[float], list[float]]:
    return (
        list(islice(cycle(args.mean), num_channels)),
        list(islice(cycle(args.std), num_channels)),
    )


def _is_rgb(num_channels: int, channel_drop: ChannelDropArgs | None) -> bool:
    """Return whether the input is known to be red, green and blue, in this order."""
    if channel_drop is None:
        return num_channels == 3
    return num_channels == 3 and not any(channel_drop.weight_drop[:3])
