"""Layouts of feature tensors: maps and tokens, recognised by their shapes.

Maps and tokens grow with the image. Class scores and pooled features do not.

Letters used for shapes: B images, H and W pixels, D feature channels, h and w feature positions,
P prefix tokens, T = P + h * w tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Shape = tuple[int, ...]
Size = tuple[int, int]
Kind = Literal["channels first", "channels last", "tokens"]

#: Images in a trial forward pass. More than one, to detect a wrong first axis.
BATCH = 2

_MOST_PREFIX_TOKENS = 64


@dataclass(frozen=True)
class Layout:
    """Layout of a feature tensor.

    Attributes:
        kind: ``channels first`` (B, D, h, w), ``channels last`` (B, h, w, D) or ``tokens``
            (B, T, D).
        dim: D.
        num_prefix_tokens: P, for tokens only.
        stride: Side of a token in pixels, for tokens only.
    """

    kind: Kind
    dim: int
    num_prefix_tokens: int = 0
    stride: int = 0

    def to_map(self, found: Tensor, size: Size) -> tuple[Tensor, Tensor | None]:
        """Split features into map and prefix tokens.

        Args:
            found: A tensor of this layout.
            size: Height and width in pixels of the images that it was computed from.

        Returns:
            The map (B, D, h, w), and the prefix tokens (B, P, D) or None if there are none.

        Raises:
            ValueError: The tensor does not have this layout.
        """
        dim = found.shape[1 if self.kind == "channels first" else -1]
        if found.ndim != (3 if self.kind == "tokens" else 4) or dim != self.dim:
            raise ValueError(f"expected {self}, got {tuple(found.shape)}")
        if self.kind == "channels first":
            return found, None
        if self.kind == "channels last":
            return found.permute(0, 3, 1, 2), None  # (B, D, h, w)
        prefix, patches = found.tensor_split([self.num_prefix_tokens], dim=1)
        grid = token_grid(patches.shape[1], size, self.stride)
        features = patches.transpose(1, 2).reshape(-1, dim, *grid)  # (B, D, h, w)
        return features, prefix if self.num_prefix_tokens else None

    def from_map(self, features: Tensor, prefix: Tensor | None) -> Tensor:
        """Invert `to_map`. Without `prefix` the result has no prefix tokens."""
        if self.kind == "channels first":
            return features
        if self.kind == "channels last":
            return features.permute(0, 2, 3, 1)  # (B, h, w, D)
        patches = features.flatten(2).transpose(1, 2)  # (B, h * w, D)
        return patches if prefix is None else torch.cat([prefix, patches], dim=1)  # (B, T, D)

    def __str__(self) -> str:
        dim = self.dim
        shapes = {
            "channels first": f"a map (B, {dim}, h, w)",
            "channels last": f"a map (B, h, w, {dim})",
            "tokens": f"tokens (B, {self.num_prefix_tokens} + h * w, {dim})",
        }
        return shapes[self.kind]


def find_layout(
    shapes: Sequence[Shape], sizes: Sequence[Size], num_prefix_tokens: int | None = None
) -> Layout | None:
    """Determine the layout from the shapes for images of one or two sizes.

    With two sizes, the axes that grow are height and width. With one size, they are the two
    neighbouring axes in proportion to the image. If that holds for both pairs, channels come first.
    Of several possible numbers of prefix tokens the smallest is used.

    Args:
        shapes: Output shapes of a part of a model, one for each size.
        sizes: Heights and widths of the images in pixels. The second is larger in both.
        num_prefix_tokens: P if it is known.

    Returns:
        The layout, None if the output is neither map nor tokens.
    """
    if len({len(shape) for shape in shapes}) != 1 or any(s[0] != BATCH for s in shapes):
        return None
    shapes, sizes = list(shapes), list(sizes)[: len(shapes)]
    if len(shapes[0]) == 4:
        first, last = (_is_grid([s[a : a + 2] for s in shapes], sizes) for a in (2, 1))
        if first and len({shape[1] for shape in shapes}) == 1:
            return Layout("channels first", shapes[0][1])
        if last and len({shape[3] for shape in shapes}) == 1:
            return Layout("channels last", shapes[0][3])
    if len(shapes[0]) == 3 and len({shape[2] for shape in shapes}) == 1:
        found = _prefix_and_stride([shape[1] for shape in shapes], sizes, num_prefix_tokens)
        if found is not None:
            return Layout("tokens", shapes[0][2], *found)
    return None


def token_grid(num_tokens: int, size: Size, stride: int) -> Size:
    """Return the grid (h, w) of tokens in row-major order.

    Args:
        num_tokens: h * w.
        size: Height and width of the image in pixels.
        stride: Side of a token in pixels.

    Raises:
        ValueError: Neither rounding of the sides gives this number of tokens.
    """
    for grid in _grids(size, stride):
        if math.prod(grid) == num_tokens:
            return grid
    raise ValueError(
        f"{num_tokens} tokens for an image of {size[0]} x {size[1]} pixels are no grid of stride "
        f"{stride}; make both sides multiples of {stride}"
    )


def _is_grid(pairs: Sequence[Shape], sizes: Sequence[Size]) -> bool:
    """Return whether two axes behave like height and width."""
    if len(pairs) == 2:
        return all(small < large for small, large in zip(*pairs, strict=True))
    (rows, columns), (height, width) = pairs[0], sizes[0]
    # In proportion up to one position, because of rounding.
    return rows * columns > 1 and abs(rows * width - columns * height) < max(height, width)


def _prefix_and_stride(
    counts: Sequence[int], sizes: Sequence[Size], given: int | None
) -> tuple[int, int] | None:
    """Return P and the stride that explain the numbers of tokens T, None if there are none."""
    found = []
    if len(counts) == 2 and counts[0] >= counts[1]:
        return None
    for stride in range(1, min(sizes[0]) + 1):
        for grids in zip(*(_grids(size, stride) for size in sizes), strict=True):
            rest = {count - math.prod(grid) for count, grid in zip(counts, grids, strict=True)}
            prefix = min(rest)
            if len(rest) == 1 and prefix >= 0 and math.prod(grids[0]) > 1:
                remainder = sum(side % stride for size in sizes for side in size)
                found.append((prefix, remainder, stride))
    found = [each for each in found if each[0] == given] if given is not None else found
    if not found or (given is None and min(found)[0] > _MOST_PREFIX_TOKENS):
        return None
    prefix, _, stride = min(found)
    return prefix, stride


def _grids(size: Size, stride: int) -> Iterator[Size]:
    """Yield the grids of a stride, with the sides rounded down and up."""
    height, width = size
    yield height // stride, width // stride
    yield -(-height // stride), -(-width // stride)
