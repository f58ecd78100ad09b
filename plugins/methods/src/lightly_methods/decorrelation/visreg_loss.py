"""What keeps the embeddings of VISReg apart.

V views, N images on all processes, P channels, M slices.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lightly_core.parts.distributed import gather_with_gradient
from lightly_core.parts.precision import single
from lightly_core.parts.sliced import sliced_wasserstein

# Added to the standard deviation that embeddings are divided by.
_EPS = 1e-4


class Spread(NamedTuple):
    """The three terms, scalars.

    Attributes:
        scale: ``mean over v and p of (1 - deviation[v, p])^2``; its gradient does not vanish where
            embeddings collapse.
        shape: `sliced_wasserstein` of the standardised embeddings. No gradient flows through the
            deviations that they are divided by, so that the scale is left to the first term.
        centre: ``mean over v and p of mean[v, p]^2``.
    """

    scale: Tensor
    shape: Tensor
    centre: Tensor


def spread(embeddings: Tensor, slices: Tensor) -> Spread:
    """Measure how far embeddings are from a normal distribution, each view on its own.

    https://arxiv.org/abs/2606.02572

    Args:
        embeddings: (V, B, P), B the same on all processes.
        slices: From `lightly_core.parts.sliced.random_slices`, (M, P), the same on all processes.

    Returns:
        The terms over the images of all processes, at least float32.
    """
    rows = gather_with_gradient(single(embeddings).transpose(0, 1)).transpose(0, 1)  # (V, N, P)
    mean = rows.mean(dim=1, keepdim=True)
    deviation = rows.std(dim=1, correction=0, keepdim=True)
    standardised = (rows - mean) / (deviation.detach() + _EPS)
    return Spread(
        scale=(1 - deviation).square().mean(),
        shape=sliced_wasserstein(standardised, slices),
        centre=mean.square().mean(),
    )
