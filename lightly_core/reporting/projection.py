"""Maps of features: principal components, and UMAP where it is installed. And neighbours."""

from __future__ import annotations

import importlib.util

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

#: Cosines that are computed at once, 128 MiB.
_COSINES_AT_ONCE = 2**24


def principal_components(rows: Array, number: int) -> tuple[Array, Array]:
    """Project rows onto their principal axes.

    The sign of each axis is chosen so that its largest coordinate is positive, so that the same
    rows give the same map.

    Args:
        rows: (N, D), finite.
        number: Number of axes.

    Returns:
        Coordinates (N, number), zeros for axes that do not exist, and the fraction of the
        variance along each axis (number,).
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    # Coordinates are eigenvectors of the Gram matrix, scaled. With N < D it is the smaller one.
    few = len(centred) <= centred.shape[1]
    values, vectors = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    order = np.argsort(values)[::-1][:number]
    values_kept = np.clip(values[order], 0, None)
    found = vectors[:, order] * np.sqrt(values_kept) if few else centred @ vectors[:, order]
    coordinates = np.zeros((len(rows), number))
    coordinates[:, : found.shape[1]] = found
    largest = np.abs(coordinates).argmax(axis=0)
    coordinates *= np.where(coordinates[largest, np.arange(number)] < 0, -1.0, 1.0)
    fractions = np.zeros(number)
    fractions[: len(order)] = values_kept / max(float(np.clip(values, 0, None).sum()), 1e-30)
    return coordinates, fractions


def can_umap() -> bool:
    """Return whether UMAP is installed, without importing it."""
    return importlib.util.find_spec("umap") is not None


def umap_layout(rows: Array) -> Array:
    """Return the map (N, 2) of UMAP (McInnes et al. 2018, https://arxiv.org/abs/1802.03426).

    Args:
        rows: (N, D) with N of at least 5. Compared by their angles.
    """
    import warnings

    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fixed seed makes it slower
        reducer = umap.UMAP(
            n_neighbors=min(15, len(rows) - 1), metric="cosine", random_state=0, init="pca"
        )
        return np.asarray(reducer.fit_transform(rows.astype(np.float32)), np.float64)


def nearest(rows: Array, number: int) -> npt.NDArray[np.int64]:
    """Return the nearest other rows of each row by cosine, the nearest first.

    Args:
        rows: (N, D), each of length 1 or 0.
        number: Neighbours of each row; fewer if there are not as many rows.

    Returns:
        Row numbers (N, min(number, N - 1)).
    """
    bank = rows.astype(np.float64)
    kept = max(min(number, len(rows) - 1), 0)
    size = max(1, _COSINES_AT_ONCE // max(len(rows), 1))

    def part(start: int) -> npt.NDArray[np.int64]:
        cosine = (bank[start : start + size] @ bank.T).round(9)
        own = np.arange(len(cosine))
        cosine[own, start + own] = -np.inf
        return np.argsort(-cosine, axis=1, kind="stable")[:, :kept]

    parts = map(part, range(0, len(rows), size))
    return np.concatenate([np.empty((0, kept), np.int64), *parts])


def same_class(neighbours: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> float | None:
    """Return the fraction of neighbours that have the class of their row.

    Args:
        neighbours: (N, k).
        labels: Class of each row (N,); negative: none. Rows without a class are left out.

    Returns:
        A number in [0, 1]; None if there is no labelled row or no neighbour.
    """
    labelled = labels >= 0
    if not labelled.any() or not neighbours.size:
        return None
    return float((labels[neighbours] == labels[:, None])[labelled].mean())
