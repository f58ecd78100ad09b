"""Which positions of two views belong together, and the loss of VICReg on them.

B images on this process, N = h * w positions of the first view, M of the second, K matches,
P channels of the projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.covariance import centered
from lightly_core.parts.precision import no_autocast, single
from lightly_ssl_methods.common.tokens import Grid, take
from lightly_ssl_methods.vicreg.loss import VICRegTerms, spread_terms

# Variance and covariance term of one view.
Spread: TypeAlias = tuple[Tensor, Tensor]


def cell_centres(crops: Tensor, grid: Grid) -> Tensor:
    """Return where the positions of a view lie in the image that it was cut out of.

    Along an axis of S positions the i-th is at ``start + (i + 0.5) * length / S``; in a mirrored
    view they are counted from the other end.

    Args:
        crops: See `lightly_core.protocols.Batch.crops`, (B, 6).
        grid: (h, w).

    Returns:
        (B, h * w, 2), row by row: x and y as shares of the image's width and height.
    """
    left, top, width, height, mirror, upside_down = crops.T[..., None]  # (B, 1) each
    rows, columns = (
        (torch.arange(side, device=crops.device, dtype=crops.dtype) + 0.5) / side for side in grid
    )
    x = left + width * torch.where(mirror > 0, 1 - columns, columns)  # (B, w)
    y = top + height * torch.where(upside_down > 0, 1 - rows, rows)  # (B, h)
    places = torch.stack(
        [x[:, None, :].expand(-1, grid[0], -1), y[:, :, None].expand(-1, -1, grid[1])], dim=3
    )  # (B, h, w, 2)
    return places.flatten(1, 2)


def nearest(first: Tensor, second: Tensor, num_matches: int) -> tuple[Tensor, Tensor]:
    """Find the positions of the first view that have the nearest neighbours in the second.

    Args:
        first: Places or features of positions, (B, N, C).
        second: The same of the other view, (B, M, C).
        num_matches: Matches wanted; there are K, at most N.

    Returns:
        Positions of the first view and their neighbours in the second, (B, K) int64 each, the
        nearest match first. No gradient.
    """
    with torch.no_grad(), no_autocast(first.device):
        distances = torch.cdist(single(first), single(second))  # (B, N, M)
        smallest, neighbours = distances.min(dim=2)  # (B, N) each
        matches = min(num_matches, first.shape[1])
        own = smallest.topk(matches, dim=1, largest=False).indices  # (B, K)
        return own, neighbours.gather(1, own)


def matched_terms(first: Tensor, second: Tensor) -> VICRegTerms:
    """Return VICReg's terms for matched positions.

    All B * K vectors of a view are its rows. The mean over images is taken away for each of the K
    matches on its own, and the covariance term is half of VICReg's.

    Args:
        first: Projections of one view's positions, (B, K, P).
        second: Those of the positions that they are matched with, (B, K, P).

    Returns:
        The terms over the images of all processes, at least float32.
    """
    spreads = [spread_terms(centered(x).flatten(0, 1)) for x in (first, second)]
    terms = pair_terms(first, second, *spreads)
    return replace(terms, covariance=terms.covariance / 2)


def pair_terms(
    first: Tensor, second: Tensor, first_spread: Spread, second_spread: Spread
) -> VICRegTerms:
    """Return `vicreg_terms` of two views (..., P) from what `spread_terms` gave for each."""
    (variance, covariance), (other_variance, other_covariance) = first_spread, second_spread
    return VICRegTerms(
        invariance=F.mse_loss(single(first), single(second)),
        variance=(variance + other_variance) / 2,
        covariance=covariance + other_covariance,
    )


def match_terms(
    maps: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], num_matches: tuple[int, int]
) -> VICRegTerms:
    """Match two views in both directions, and return the mean of `matched_terms`.

    Args:
        maps: Projections of the positions of both views, (B, N, P) and (B, M, P).
        keys: By what neighbours are found: places (B, N, 2) and (B, M, 2), or the maps.
        num_matches: Matches from the first view to the second, and back.
    """
    found = []
    for one, other, count in ((0, 1, num_matches[0]), (1, 0, num_matches[1])):
        own, neighbours = nearest(keys[one], keys[other], count)
        found.append(matched_terms(take(maps[one], own), take(maps[other], neighbours)))
    return mean_terms(found)


def mean_terms(terms: Sequence[VICRegTerms]) -> VICRegTerms:
    """Return the mean of each term."""
    names = ("invariance", "variance", "covariance")
    return VICRegTerms(
        *(torch.stack([getattr(one, name) for one in terms]).mean() for name in names)
    )
