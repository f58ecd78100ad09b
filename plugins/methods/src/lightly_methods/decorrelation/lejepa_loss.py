"""The loss of LeJEPA beside `lightly_core.parts.sliced.sigreg`."""

from __future__ import annotations

from torch import Tensor

from lightly_core.parts.precision import single


def distance_to_centre(embeddings: Tensor, num_global: int) -> Tensor:
    """Return the mean squared difference of all views from the mean of the large ones.

    ``mean over v, b, p of (z[v, b, p] - mean over u < num_global of z[u, b, p])^2``. Gradient flows
    into both sides.

    Args:
        embeddings: V views of B images, the large views first, (V, B, P).
        num_global: Large views, >= 1.

    Returns:
        Scalar, at least float32; 0 where views of an image are equal.
    """
    views = single(embeddings)
    return (views - views[:num_global].mean(dim=0)).square().mean()
