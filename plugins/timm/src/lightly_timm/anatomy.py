"""Find out what a timm model's features look like: layout, dimension, stride, prefix tokens.

There is no list of models. A model is run on the meta device at two image sizes. The output that
grows with the image is the feature map.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lightly_core.errors import ConfigError
from lightly_timm.pooling import Pool, find_pool
from lightly_timm.shapes import (
    BATCH,
    Features,
    Layout,
    Path,
    Size,
    Stated,
    find_features,
    follow,
    grid_of,
    tensors_in,
)
from lightly_timm.trial import Trial

#: What to do with a model that cannot be read; ends the messages of this package.
WRAP_BY_HAND = (
    "write a wrapper: a torch.nn.Module with forward_features, forward_pool, feature_dim and "
    "get_model, and pass an instance of it as model="
)

_FIRST_SIZE = 224
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class Anatomy:
    """What `examine` found in a model.

    Attributes:
        entry: Method that computes the features, see `lightly_timm.trial.compute`.
        path: Keys and indices that lead to the features in what the method returns.
        prefix_path: The same for prefix tokens (B, P, D) that are returned separately.
        layout: Order of the features' axes, see `lightly_timm.shapes.Layout`.
        dim: Dimension D of the features.
        num_prefix_tokens: P, number of tokens before the patch tokens.
        has_cls_token: Whether the first of them is a class token.
        stride: Pixels per feature position (vertical, horizontal).
        grid: Rows and columns for all image sizes, where the model scales images itself.
        size: Height and width in pixels with which the model was run.
        any_size: Whether it takes other sizes as well.
        multiple: Sides of images must be multiples of this (vertical, horizontal).
        pool: How the model pools.
    """

    entry: str
    path: Path
    prefix_path: Path | None
    layout: Layout
    dim: int
    num_prefix_tokens: int
    has_cls_token: bool
    stride: tuple[float, float]
    grid: Size | None
    size: Size
    any_size: bool
    multiple: tuple[int, int]
    pool: Pool


def examine(
    model: nn.Module, num_input_channels: int, *, image_size: Size | None = None
) -> Anatomy:
    """Inspect a model. The model and the random state stay as they are.

    Args:
        model: A module of timm that takes images (B, C, H, W).
        num_input_channels: C.
        image_size: Height and width in pixels for which the model was built, if known.

    Raises:
        ConfigError: The model takes no image, or has no feature map.
    """
    likely = _likely_sizes(model) if image_size is None else [image_size]
    others = _common_sizes() if image_size is None else []
    error: ConfigError | None = None
    with torch.random.fork_rng(devices=[]):
        # Models that keep tensors outside of their buffers cannot run on the meta device.
        for sizes, on_meta in itertools.product((likely, others), (True, False)):
            try:
                trial = Trial(model, num_input_channels, on_meta=on_meta)
                return _Examination(trial).result(sizes)
            except _NoSizeFits as failure:
                error = error or ConfigError(f"{failure}\n  {_remedy(image_size)}")
    assert error is not None
    raise error


def takes_channels(model: nn.Module, num_input_channels: int) -> bool:
    """Return whether a model takes images of this many channels, at the sizes it was built for."""
    with torch.random.fork_rng(devices=[]):
        trial = Trial(model, num_input_channels, on_meta=False)
        return any(trial.takes(size) for size in _likely_sizes(model))


class _Examination:
    """Derives an `Anatomy` from the outputs of a model at several image sizes.

    Args:
        trial: A copy of the model.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.model = trial.model

    def result(self, sizes: Sequence[Size]) -> Anatomy:
        size, output = self._first_size(sizes)
        outputs: Sequence[tuple[Size, object]] = [(size, output)]
        if (other := self._second_size(size)) is not None:
            outputs = [*outputs, other]
        elif size not in _named_sizes(self.model) and not self.trial.confirms(size):
            raise _NoSizeFits(f"a table in {type(self.model).__name__} is too small for {size}")
        features, outputs, grows = self._features(outputs)
        output = outputs[0][1]
        raw = follow(output, features.path)
        # A head takes what `forward_features` returns as a whole.
        has_head = self.trial.entry == "forward_features" and not features.path
        prefix_path = None
        num_prefix_tokens = features.num_prefix_tokens
        if self.trial.entry == "forward_intermediates":
            prefix_path = _separate_prefix(outputs, features)
        if prefix_path is not None:
            raw = follow(output, prefix_path)
            num_prefix_tokens = raw.shape[1]
            has_head = prefix_path == (0,)
        any_size = len(outputs) > 1
        return Anatomy(
            entry=self.trial.entry,
            path=features.path,
            prefix_path=prefix_path,
            layout=features.layout,
            dim=features.dim,
            num_prefix_tokens=num_prefix_tokens,
            has_cls_token=_has_cls_token(self.trial.twin, num_prefix_tokens),
            stride=features.stride,
            grid=None if grows else _grid(output, features, size),
            size=size,
            any_size=any_size,
            multiple=self._multiple(outputs, features.stride),
            pool=find_pool(
                self.trial.twin,
                raw,
                features.dim,
                has_head=has_head,
                has_prefix=num_prefix_tokens > 0,
            ),
        )

    def _features(
        self, outputs: Sequence[tuple[Size, object]]
    ) -> tuple[Features, Sequence[tuple[Size, object]], bool]:
        """Return the features, the outputs with them, and whether they grow with the image."""
        stated = _stated(self.trial.twin)
        if (found := find_features(outputs, stated)) is not None:
            return found, outputs, True
        # Some models scale all images to one size themselves.
        if (found := find_features(outputs[:1], stated)) is not None:
            return found, outputs, False
        if hasattr(self.trial.twin, "forward_intermediates"):
            # PiT, for one, returns only its class token.
            self.trial.entry = "forward_intermediates"
            outputs = [(size, self.trial.run(size)) for size, _ in outputs]
            found = find_features(outputs, stated)
        if found is None:
            raise ConfigError(
                f"no feature map found in {type(self.trial.twin).__name__}: nothing that "
                f"{self.trial.entry} returns grows with the image\n  {WRAP_BY_HAND}"
            )
        return found, outputs, True

    def _first_size(self, sizes: Sequence[Size]) -> tuple[Size, object]:
        """Return the first image size that works, and the output."""
        reason = ""
        for size in sizes:
            try:
                return size, self.trial.run(size)
            except Exception as error:  # See `Trial.takes`.
                first = str(error).partition("\n")[0]
                reason = reason or f"at {size[0]} x {size[1]} {type(error).__name__}: {first}"
        name = type(self.trial.twin).__name__
        raise _NoSizeFits(f"{name} fails on images of {self.trial.channels} channels, {reason}")

    def _second_size(self, size: Size) -> tuple[Size, object] | None:
        """Return a larger image size that works, not square if possible, and the output."""
        height, width = size
        for other in (
            (height + 65, width + 130),  # Where this works, no side has to be a multiple.
            (height + 64, width + 128),  # Multiples of all common strides.
            (height + 112, width + 224),  # Multiples of 14 and 16.
            (2 * height, 3 * width),
            (height + 64, width + 64),
            (2 * height, 2 * width),
        ):
            with contextlib.suppress(Exception):  # See `Trial.takes`.
                output = self.trial.run(other)
                return (other, output) if self.trial.confirms(other) else None
        return None

    def _multiple(
        self, outputs: Sequence[tuple[Size, object]], stride: tuple[float, float]
    ) -> tuple[int, int]:
        """Return the number that sides must be multiples of: 1, the stride, or several strides."""
        height, width = outputs[0][0]
        if len(outputs) == 1 or outputs[1][0][0] == height + 65:
            return 1, 1
        down, across = max(1, round(stride[0])), max(1, round(stride[1]))
        parts = [(step, step) for step in (2, 4, 8, 16) if step < min(down, across)]
        wholes = [(count * down, count * across) for count in range(1, height // down)]
        for vertical, horizontal in (*parts, *wholes):
            divides = height % vertical == 0 and width % horizontal == 0
            if divides and self.trial.takes((height + vertical, width + 2 * horizontal)):
                return vertical, horizontal
        return height, width


class _NoSizeFits(Exception):
    """A model runs at none of the sizes that were tried."""


def _remedy(image_size: Size | None) -> str:
    return WRAP_BY_HAND if image_size is None else "choose another model_args.img_size"


def _common_sizes() -> list[Size]:
    # Strides are multiples of 8, or 14 in some vision transformers. Those nearest to 224 come
    # first: with a single position, shapes fit by chance.
    sides = sorted(
        {*range(16, 1025, 8), *range(14, 1025, 14)},
        key=lambda side: (*(side % step > 0 for step in (32, 16, 14)), abs(side - _FIRST_SIZE)),
    )
    return [(side, side) for side in sides]


def _likely_sizes(model: nn.Module) -> list[Size]:
    """Return the image sizes that a model or its configuration names, and 224."""
    found = _named_sizes(model)
    configuration = getattr(model, "pretrained_cfg", None)
    if isinstance(configuration, Mapping) and configuration.get("input_size"):
        height, width = configuration["input_size"][-2:]
        found.append((height, width))
    return list(dict.fromkeys([*found, (_FIRST_SIZE, _FIRST_SIZE)]))


def _named_sizes(model: nn.Module) -> list[Size]:
    found: list[Size] = []
    for module in model.modules():
        value = getattr(module, "img_size", None)
        if isinstance(value, int):
            found.append((value, value))
        elif isinstance(value, Sequence) and len(value) == 2:
            found.append((int(value[0]), int(value[1])))
    return found


def _separate_prefix(outputs: Sequence[tuple[Size, object]], features: Features) -> Path | None:
    """Return the path of prefix tokens (B, P, D) that are returned next to the map."""
    for path, tensor in tensors_in(outputs[0][1]):
        shape = tuple(tensor.shape)
        same = all(tuple(follow(output, path).shape) == shape for _, output in outputs)
        if (
            path != features.path
            and same
            and len(shape) == 3
            and shape[0] == BATCH
            and shape[1] <= _MOST_PREFIX_TOKENS
            and shape[2] == features.dim
        ):
            return path
    return None


def _has_cls_token(model: nn.Module, num_prefix_tokens: int) -> bool:
    if not num_prefix_tokens:
        return False
    stated = getattr(model, "has_class_token", None)
    if isinstance(stated, bool):
        return stated
    leaves = (path.rpartition(".")[2] for path, _ in model.named_parameters())
    return any(leaf.startswith(("cls", "class_token")) for leaf in leaves)


def _stated(model: nn.Module) -> Stated:
    prefix = getattr(model, "num_prefix_tokens", None)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    is_pair = isinstance(patch, tuple) and len(patch) == 2
    return Stated(prefix if isinstance(prefix, int) else None, patch if is_pair else None)


def _grid(output: object, features: Features, size: Size) -> Size:
    shape = follow(output, features.path).shape
    if features.layout == "tokens":
        return grid_of(shape[1] - features.num_prefix_tokens, size, features.stride)
    first = 1 if features.layout == "NHWC" else 2
    return shape[first], shape[first + 1]
