"""Checks of wrappers with the capability `TokenModel`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.contracts import ModelWrapper
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.errors import ConfigError
from lightly_core.testing.checks import require, require_close
from lightly_core.testing.wrapper_case import WrapperCase

# With new weights, positions and blocks may have almost no effect (layer scale begins at 1e-5).
# Large matrices make attention so sharp that rounding errors are visible.
_SCALE_NOISE = 0.1
_MATRIX_NOISE = 0.02
_TOO_DEEP = 10_000


@dataclass(frozen=True)
class _Setup:
    """A wrapper with tokens, in evaluation mode, and images of whole patches."""

    wrapper: ModelWrapper
    model: TokenModel
    images: Tensor
    grid: tuple[int, int]

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    def to_pixels(self, chosen: Tensor) -> Tensor:
        """Return which pixels (B, 1, H, W) belong to the chosen patches (B, N)."""
        side = self.model.patch_size()
        patches = chosen.reshape(len(chosen), 1, *self.grid)
        return patches.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)

    def with_new_pixels(self, chosen: Tensor) -> Tensor:
        """Return the images with other pixels in the chosen patches (B, N)."""
        return torch.where(self.to_pixels(chosen), torch.randn_like(self.images), self.images)

    def random_order(self) -> Tensor:
        """Return a random order of all patches for each image, (B, N)."""
        return torch.rand(len(self.images), self.num_patches).argsort(dim=1)

    def half(self) -> Tensor:
        """Return a mask of about half of the patches, different for each image, (B, N) bool."""
        count = max(self.num_patches // 2, 1)
        return self.random_order().argsort(dim=1) < count


def _set_up(case: WrapperCase) -> _Setup:
    wrapper = case.trained(_SCALE_NOISE, _MATRIX_NOISE)
    model = cast(TokenModel, wrapper)
    side = model.patch_size()
    size = side * max(case.image_size // side, 1)
    grid = model.token_grid(size, size)
    require(
        tuple(grid) == (size // side, size // side),
        f"token_grid({size}, {size}) returned {grid} for patches of {side} pixels",
    )
    require(grid[0] > 1, f"image_size={case.image_size} is a single patch; set a larger one")
    return _Setup(wrapper, model, case.images_of(size, size, batch_size=3), grid)


def _tokens(setup: _Setup, images: Tensor, **arguments: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return setup.model.forward_tokens(images, **arguments)


def _require_same(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    require(found.keys() == expected.keys(), f"{what}: keys {set(found)}, expected {set(expected)}")
    for name, value in found.items():
        require_close(value, expected[name], f"{what}: '{name}'")


def _picked(values: Tensor, index: Tensor) -> Tensor:
    """Return rows (B, K, D) of (B, N, D)."""
    return values.gather(1, index[:, :, None].expand(-1, -1, values.shape[2]))


def _without_mask(case: WrapperCase) -> None:
    setup = _set_up(case)
    tokens = _tokens(setup, setup.images)
    dim, batch_size = setup.wrapper.feature_dim(), len(setup.images)
    for name, count in (
        ("patch_tokens", setup.num_patches),
        ("prefix_tokens", setup.model.num_prefix_tokens()),
    ):
        shape, expected = tuple(tokens[name].shape), (batch_size, count, dim)
        require(shape == expected, f"'{name}' has shape {shape}, expected {expected}")
    with torch.no_grad():
        features = setup.wrapper.forward_features(setup.images)
    as_map = tokens["patch_tokens"].transpose(1, 2).unflatten(2, setup.grid)  # type: ignore[no-untyped-call]
    require_close(as_map, features["features"], "patch tokens as a map, compared with 'features'")
    require(
        ("cls_token" in tokens) == ("cls_token" in features),
        "only one of forward_tokens and forward_features returns 'cls_token'",
    )
    if "cls_token" in tokens:
        require_close(tokens["cls_token"], features["cls_token"], "'cls_token'")


def _mask(case: WrapperCase) -> None:
    setup = _set_up(case)
    mask = setup.half()
    token = torch.randn(setup.model.token_dim(), requires_grad=True)
    images = setup.images.clone().requires_grad_()
    found = setup.model.forward_tokens(images, mask=mask, mask_token=token)
    patches = found["patch_tokens"]
    weights = torch.randn_like(patches)
    gradients = torch.autograd.grad((patches * weights).sum(), [images, token], allow_unused=True)
    require(gradients[1] is not None and gradients[1].any(), "the mask token gets no gradient")
    require(gradients[0] is not None, "the images get no gradient; a tensor is detached")
    side = setup.model.patch_size()
    seen = F.max_pool2d(gradients[0].abs().amax(dim=1, keepdim=True), side)
    require(
        torch.equal(seen.flatten(1) > 0, ~mask),
        "the patches with a gradient are not exactly those that are not masked",
    )
    expected = {name: value.detach() for name, value in found.items()}
    again = _tokens(setup, setup.with_new_pixels(mask), mask=mask, mask_token=token.detach())
    _require_same(again, expected, "tokens after the masked patches' pixels were changed")
    nothing = torch.zeros_like(mask)
    _require_same(
        _tokens(setup, setup.images, mask=nothing, mask_token=token.detach()),
        _tokens(setup, setup.images),
        "tokens with an empty mask",
    )
    for row, chosen in zip(expected["patch_tokens"], mask, strict=True):
        deviation = row[chosen].std(dim=0, correction=0).max()
        require(
            chosen.sum() < 2 or deviation > 1e-5 * row.abs().max(),
            "all masked patches have the same token; add positions after masking",
        )


def _kept_order(setup: _Setup) -> None:
    order = setup.random_order()
    everything = _tokens(setup, setup.images)
    found = _tokens(setup, setup.images, keep=order)
    expected = {**everything, "patch_tokens": _picked(everything["patch_tokens"], order)}
    _require_same(found, expected, "tokens of all patches kept in another order")
    mask, token = setup.half(), torch.randn(setup.model.token_dim())
    masked = _tokens(setup, setup.images, mask=mask, mask_token=token)
    found = _tokens(setup, setup.images, mask=mask, mask_token=token, keep=order)
    expected = {**masked, "patch_tokens": _picked(masked["patch_tokens"], order)}
    _require_same(found, expected, "tokens with a mask and all patches kept in another order")


def _keep(case: WrapperCase) -> None:
    setup = _set_up(case)
    _kept_order(setup)
    keep = setup.random_order()[:, : max(setup.num_patches // 2, 1)]
    expected = _tokens(setup, setup.images, keep=keep)
    count = expected["patch_tokens"].shape[1]
    require(
        count == keep.shape[1], f"{keep.shape[1]} patches were kept, 'patch_tokens' has {count}"
    )
    dropped = torch.ones(len(keep), setup.num_patches, dtype=torch.bool).scatter(1, keep, False)
    _require_same(
        _tokens(setup, setup.with_new_pixels(dropped), keep=keep),
        expected,
        "tokens after pixels of patches that are not kept were changed",
    )
    for row in range(len(keep)):
        alone = _tokens(setup, setup.images[row : row + 1], keep=keep[row : row + 1])
        part = {name: value[row : row + 1] for name, value in expected.items()}
        _require_same(alone, part, "tokens of an image alone, compared with those in a batch")


def _intermediates(case: WrapperCase) -> None:
    setup = _set_up(case)

    def compute(layers: int | list[int], norm: bool = True) -> list[dict[str, Tensor]]:
        with torch.no_grad():
            return setup.model.forward_intermediates(setup.images, layers, norm=norm)

    def exists(layers: int | list[int]) -> bool:
        try:
            compute(layers)
        except ValueError:
            return False
        return True

    depth = _depth(lambda count: exists([count - 1]))
    last = _tokens(setup, setup.images)
    every = compute(depth)
    require(len(every) == depth, f"layers={depth} returned {len(every)} of {depth} blocks")
    for layers, indices in (
        (1, [depth - 1]),
        ([-1], [depth - 1]),
        ([-depth, depth - 1], sorted({0, depth - 1})),
        ([depth - 1, 0], sorted({0, depth - 1})),
    ):
        if depth == 1 and isinstance(layers, list) and len(layers) > 1:
            continue  # Both entries are the same block, so there is no order.
        found = compute(layers)
        require(len(found) == len(indices), f"layers={layers} returned {len(found)} blocks")
        for tokens, index in zip(found, indices, strict=True):
            _require_same(tokens, every[index], f"block {index} from layers={layers}")
    _require_same(every[-1], last, "the last block with norm, compared with forward_tokens")
    shapes = [{n: v.shape for n, v in tokens.items()} for tokens in compute(depth, norm=False)]
    expected = [{n: v.shape for n, v in tokens.items()} for tokens in every]
    require(shapes == expected, f"without norm the shapes are {shapes}, expected {expected}")
    for wrong in ([depth], [-depth - 1], depth + 1):
        require(not exists(wrong), f"layers={wrong} of {depth} blocks raised no ValueError")


def _depth(exists: Callable[[int], bool]) -> int:
    """Return the number of blocks. Binary search needs few forward passes."""
    require(exists(1), "layers=[0] raised ValueError, but every model has a first block")
    require(not exists(_TOO_DEEP), f"layers=[{_TOO_DEEP - 1}] raised no ValueError")
    low, high = 1, 2
    while exists(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low


def _other_sizes(case: WrapperCase) -> None:
    wrapper = case.built()
    wrapper.eval()
    model = cast(TokenModel, wrapper)
    size, side = case.image_size, model.patch_size()
    for height, width in ((size + side // 2, size + 1), (size + side, size + 2 * side - 1)):
        images = case.images_of(height, width)
        try:
            with torch.no_grad():
                tokens = model.forward_tokens(images)
                features = wrapper.forward_features(images)["features"]
        except (ValueError, ConfigError) as error:
            require(
                str(size) in str(error),
                f"the error for images of {height} x {width} pixels does not name the supported "
                f"size {size}: {error}",
            )
            continue
        grid = tuple(model.token_grid(height, width))
        start = f"images of {height} x {width} pixels gave"
        found = tuple(features.shape[2:])
        require(found == grid, f"{start} {found} positions, token_grid returns {grid}")
        count = tokens["patch_tokens"].shape[1]
        require(
            count == grid[0] * grid[1], f"{start} {count} patch tokens, token_grid returns {grid}"
        )


#: Title and function by code.
TOKEN_CHECKS: dict[str, tuple[str, Callable[[WrapperCase], None]]] = {
    "A1": ("tokens_without_mask_are_the_features", _without_mask),
    "A2": ("masked_patches_show_the_mask_token_only", _mask),
    "A3": ("kept_patches_are_all_that_is_seen", _keep),
    "A4": ("intermediate_blocks_come_in_order", _intermediates),
    "A7": ("token_grid_holds_for_any_image_size", _other_sizes),
}
