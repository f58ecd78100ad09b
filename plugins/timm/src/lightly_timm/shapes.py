"""Find the feature map or the tokens among outputs, from their shapes at two image sizes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

#: ``NCHW`` (B, D, h, w), ``NHWC`` (B, h, w, D), ``NCL`` (B, D, h * w) or ``tokens``
#: (B, P + h * w, D).
Layout = Literal["NCHW", "NHWC", "NCL", "tokens"]
Size = tuple[int, int]
Shape = tuple[int, ...]
Path = tuple[int | str, ...]

#: Images in each batch that is tried.
BATCH = 2

_MOST_PREFIX_TOKENS = 16
_MOST_STRIDE = 64


@dataclass(frozen=True)
class Stated:
    """What a model states about its tokens. None where it states nothing.

    Attributes:
        num_prefix_tokens: P.
        patch: Height and width of a patch in pixels.
    """

    num_prefix_tokens: int | None = None
    patch: Size | None = None


@dataclass(frozen=True)
class Features:
    """Where features are, and their layout.

    Attributes:
        path: Keys and indices that lead to them in what a model returns.
        layout: See `Layout`.
        dim: Dimension D.
        num_prefix_tokens: P, number of tokens before the patch tokens.
        stride: Pixels per position (vertical, horizontal).
    """

    path: Path
    layout: Layout
    dim: int
    num_prefix_tokens: int
    stride: tuple[float, float]


def tensors_in(output: object, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield all tensors in nested lists, tuples and dicts, with their paths."""
    if isinstance(output, Tensor):
        yield path, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from tensors_in(value, (*path, key))
    elif isinstance(output, (tuple, list)):
        for index, value in enumerate(output):
            yield from tensors_in(value, (*path, index))


def follow(output: object, path: Path) -> Tensor:
    """Return the tensor at a path."""
    for key in path:
        output = output[key]  # type: ignore[index]
    assert isinstance(output, Tensor)
    return output


def find_features(outputs: Sequence[tuple[Size, object]], stated: Stated) -> Features | None:
    """Return the map or tokens in what a model returns; the last of several.

    Args:
        outputs: Image size and what the model returns for it; for one or two sizes, the second
            larger on both axes.
        stated: What the model states about its tokens.
    """
    found: Features | None = None
    paths = [[path for path, _ in tensors_in(output)] for _, output in outputs]
    for path in paths[0]:
        if any(path not in others for others in paths):
            continue
        shapes = [(size, tuple(follow(output, path).shape)) for size, output in outputs]
        this = _as_map(path, shapes) or _as_tokens(path, shapes, stated)
        found = this or found
    return found


def grid_of(num_patches: int, size: Size, stride: tuple[float, float]) -> Size:
    """Return rows and columns of the patches of an image.

    Args:
        num_patches: How many there are.
        size: Height and width of the image in pixels.
        stride: Pixels per patch (vertical, horizontal).

    Raises:
        ValueError: No grid of about this many rows and columns has as many patches.
    """
    options = [
        {int(side // step), -int(-side // step)} for side, step in zip(size, stride, strict=True)
    ]
    for rows, columns in itertools.product(*options):
        if rows * columns == num_patches:
            return rows, columns
    raise ValueError(
        f"{num_patches} patches do not make up a grid for an image of {size[0]} x {size[1]} pixels"
    )


def _as_map(path: Path, shapes: Sequence[tuple[Size, Shape]]) -> Features | None:
    if any(len(shape) != 4 or shape[0] != BATCH for _, shape in shapes):
        return None
    layouts: tuple[tuple[Layout, int, int], ...] = (("NCHW", 2, 1), ("NHWC", 1, 3))
    for layout, axis, channels in layouts:
        grids = [(shape[axis], shape[axis + 1]) for _, shape in shapes]
        fits = len({shape[channels] for _, shape in shapes}) == 1
        fits = fits and all(map(_in_proportion, [size for size, _ in shapes], grids))
        for small, large in itertools.pairwise(grids):
            fits = fits and small[0] < large[0] and small[1] < large[1]
        if fits:
            (height, width), shape = shapes[0]
            stride = height / grids[0][0], width / grids[0][1]
            return Features(path, layout, shape[channels], 0, stride)
    return None


def _in_proportion(size: Size, grid: Size) -> bool:
    """Return whether a map has the aspect ratio of the image, up to one position."""
    rows, columns = grid
    return (
        rows <= size[0]
        and columns <= size[1]
        and abs(rows - columns * size[0] / size[1]) <= max(1.0, size[0] / size[1])
    )


def _as_tokens(path: Path, shapes: Sequence[tuple[Size, Shape]], stated: Stated) -> Features | None:
    if any(len(shape) != 3 or shape[0] != BATCH for _, shape in shapes):
        return None
    axes: tuple[tuple[Layout, int, int], ...] = (("tokens", 1, 2), ("NCL", 2, 1))
    # For one image size only, tokens that lie channels first look like any others.
    for layout, axis, channels in axes if len(shapes) > 1 else axes[:1]:
        counts = [shape[axis] for _, shape in shapes]
        grows = all(small < large for small, large in itertools.pairwise(counts))
        if not grows or len({shape[channels] for _, shape in shapes}) > 1:
            continue
        sizes = [size for size, _ in shapes]
        fit = _fit_grid(sizes, counts, stated if layout == "tokens" else Stated(0))
        if fit is None or (layout == "NCL" and fit[0]):
            continue
        prefix, stride = fit
        return Features(path, layout, shapes[0][1][channels], prefix, stride)
    return None


def _fit_grid(
    sizes: Sequence[Size], counts: Sequence[int], stated: Stated
) -> tuple[int, tuple[int, int]] | None:
    """Return the number of prefix tokens and the stride that explain how many tokens there are."""
    steps = range(1, _MOST_STRIDE + 1)
    # Others than these may give as many patches by chance: strides that divide the sides, and
    # powers of two.
    squares = sorted(
        ((step, step) for step in steps),
        key=lambda pair: (
            any(side % pair[0] for size in sizes for side in size),
            pair[0].bit_count() > 1,
        ),
    )
    if stated.patch is not None:
        squares.insert(0, stated.patch)
    kinds = [squares]
    # One image size alone would allow for too many other explanations.
    if len(sizes) > 1:
        kinds.append(list(itertools.permutations(steps, 2)))
    least = 1 if len(sizes) > 1 else 2
    prefixes_to_try: list[Sequence[int]] = [range(_MOST_PREFIX_TOKENS + 1)]
    if stated.num_prefix_tokens is not None:
        prefixes_to_try.insert(0, [stated.num_prefix_tokens])
    for prefixes, strides in itertools.product(prefixes_to_try, kinds):
        for prefix, stride in itertools.product(prefixes, strides):
            if all(
                count - prefix >= least and _makes_grid(count - prefix, size, stride)
                for size, count in zip(sizes, counts, strict=True)
            ):
                return prefix, stride
    return None


def _makes_grid(num_patches: int, size: Size, stride: tuple[int, int]) -> bool:
    rounded_down = (size[0] // stride[0]) * (size[1] // stride[1])
    rounded_up = -(-size[0] // stride[0]) * -(-size[1] // stride[1])
    return num_patches in (rounded_down, rounded_up)
