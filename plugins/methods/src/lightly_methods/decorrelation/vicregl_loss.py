"""Which positions of two views belong together, and the loss of VICReg on them.

Shapes: B images on this process, N = h * w positions of the first view, M of the second, K matches,
P dimensions of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single
from lightly_methods.decorrelation.vicreg import VICRegTerms, variance_covariance

Pairs = Sequence[tuple[int, int]]


def locations(crops: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return where the positions of a view lie in the image that it was cut out of.

    Along an axis of S positions the i-th is at ``start + (i + 0.5) * length / S``. In a mirrored
    view they are counted from the other end.

    Args:
        crops: See `lightly_core.contracts.Batch.crops`, (B, 6).
        grid: (h, w).

    Returns:
        (B, h * w, 2), row by row: x and y as fractions of the image's width and height.
    """
    left, top, width, height, mirror, upside_down = crops.T[..., None]  # (B, 1) each
    rows, columns = (
        (torch.arange(side, device=crops.device, dtype=crops.dtype) + 0.5) / side for side in grid
    )
    x = left + width * torch.where(mirror > 0, 1 - columns, columns)  # (B, w)
    y = top + height * torch.where(upside_down > 0, 1 - rows, rows)  # (B, h)
    x, y = x[:, None, :].expand(-1, grid[0], -1), y[:, :, None].expand(-1, -1, grid[1])
    return torch.stack([x, y], dim=3).flatten(1, 2)


def nearest(first: Tensor, second: Tensor, num_matches: int) -> tuple[Tensor, Tensor]:
    """Find the positions of the first view that have the nearest neighbours in the second.

    Args:
        first: Locations or embeddings of positions, (B, N, C).
        second: The same of the other view, (B, M, C).
        num_matches: Matches wanted; there are K, at most N.

    Returns:
        Positions of the first view, in ascending order, and their neighbours in the second,
        (B, K) int64 each. No gradient.
    """
    with torch.no_grad(), no_autocast(first.device):
        distances = torch.cdist(single(first), single(second))  # (B, N, M)
        smallest, neighbours = distances.min(dim=2)  # (B, N) each
        matches = min(num_matches, first.shape[1])
        own = smallest.topk(matches, dim=1, largest=False).indices.sort(dim=1).values  # (B, K)
        return own, neighbours.gather(1, own)


def global_terms(embeddings: Sequence[Tensor], pairs: Pairs) -> VICRegTerms:
    """Return VICReg's terms for whole views.

    The invariance is the mean over pairs. Variance and covariance are means over views, so a view
    counts once, however many pairs it is in. The covariance term of two views is half of VICReg's.

    Args:
        embeddings: One (B, P) for each view.
        pairs: Numbers of the views that are compared.

    Returns:
        The terms over the images of all processes, at least float32.
    """
    variances, covariances = zip(*map(variance_covariance, embeddings), strict=True)
    distances = [F.mse_loss(single(embeddings[i]), single(embeddings[j])) for i, j in pairs]
    return VICRegTerms(*(torch.stack(term).mean() for term in (distances, variances, covariances)))


def local_terms(
    embeddings: Sequence[Tensor], keys: Sequence[Tensor], pairs: Pairs, num_matches: tuple[int, int]
) -> VICRegTerms:
    """Return VICReg's terms for matched positions, the mean over pairs of views.

    Args:
        embeddings: Those of the positions of each view, (B, N, P).
        keys: What neighbours are found by: locations (B, N, 2) of each view, or the embeddings.
        pairs: Numbers of the views that are compared.
        num_matches: Matches from the first view of a pair to the second, and back.
    """
    return mean_terms(
        [
            match_terms((embeddings[i], embeddings[j]), (keys[i], keys[j]), num_matches)
            for i, j in pairs
        ]
    )


def match_terms(
    embeddings: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], num_matches: tuple[int, int]
) -> VICRegTerms:
    """Match two views in both directions, and return the mean of `matched_terms`.

    Args:
        embeddings: Those of the positions of both views, (B, N, P) and (B, M, P).
        keys: What neighbours are found by: locations (B, N, 2) and (B, M, 2), or the embeddings.
        num_matches: Matches from the first view to the second, and back.
    """
    found = []
    for one, other, count in ((0, 1, num_matches[0]), (1, 0, num_matches[1])):
        own, neighbours = nearest(keys[one], keys[other], count)
        found.append(
            matched_terms(_take(embeddings[one], own), _take(embeddings[other], neighbours))
        )
    return mean_terms(found)


def matched_terms(first: Tensor, second: Tensor) -> VICRegTerms:
    """Return VICReg's terms for matched positions.

    Variance and covariance are those of each match over the images, and the mean of all K matches
    is taken. Were the B * K vectors one batch, a match that has collapsed would be hidden by the
    others. The covariance term is the mean of the two views, half of VICReg's.

    Args:
        first: Embeddings of one view's positions, (B, K, P).
        second: Those of the positions that they are matched with, (B, K, P).

    Returns:
        The terms over the images of all processes, at least float32.
    """
    (variance, covariance), (other_variance, other_covariance) = map(
        variance_covariance, (first, second)
    )
    return VICRegTerms(
        invariance=F.mse_loss(single(first), single(second)),
        variance=(variance + other_variance) / 2,
        covariance=(covariance + other_covariance) / 2,
    )


def mean_terms(terms: Sequence[VICRegTerms]) -> VICRegTerms:
    """Return the mean of each term."""
    return VICRegTerms(*(torch.stack(term).mean() for term in zip(*terms, strict=True)))


def _take(z: Tensor, index: Tensor) -> Tensor:
    """Return the positions `index` (B, K) of z (B, N, P), as (B, K, P)."""
    return z.take_along_dim(index[..., None], dim=1)
