"""Effective rank and dispersion of features: signals of collapse that need no labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.direction_std import direction_std


def rankme(features: Tensor) -> float:
    """Return the effective rank of a feature matrix (RankMe).

    The exponential of the entropy of the singular values after they are scaled to sum to one,
    without centring, as in Garrido et al. 2023, https://arxiv.org/abs/2210.02885. A higher rank
    went with better downstream accuracy there, when runs of one method are compared.

    Args:
        features: Any float type, (N, D).

    Returns:
        A number in [1, min(N, D)]; 0 for features that are all zero.
    """
    matrix = features.double()
    num_rows, num_columns = matrix.shape
    # Squared singular values are eigenvalues of the smaller Gram matrix, many times quicker than
    # an SVD; what float64 loses below 1e-8 of the largest value does not show in the entropy.
    gram = matrix.T @ matrix if num_columns <= num_rows else matrix @ matrix.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = values.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(values / total).sum().exp())


def embedding_std(features: Tensor) -> float:
    """Return the standard deviation of the normalised features, see `direction_std`.

    Args:
        features: Any float type, (N, D).

    Returns:
        1 if directions are evenly distributed, 0 if all are equal.
    """
    return float(direction_std(features.double()))


def num_directions(features: Tensor) -> float:
    """Return the effective number of dimensions in which images differ.

    The participation ratio (Gao et al. 2017, https://doi.org/10.1101/214262) of the variances v
    along the principal axes of the centred L2-normalised rows:
    ``(sum of v) ** 2 / sum of v ** 2``. `rankme` counts weak dimensions nearly as much as strong
    ones. Here weak dimensions hardly count, and a component common to all images does not count.

    Args:
        features: Any float type, (N, D).

    Returns:
        A number in [1, min(N - 1, D)]; 1 if all differences are along one line. 0 if all
        directions are equal.
    """
    rows = F.normalize(features.double(), dim=1)
    rows = rows - rows.mean(dim=0)
    num_rows, num_columns = rows.shape
    gram = rows.T @ rows if num_columns <= num_rows else rows @ rows.T
    # Without eigenvalues: their sum is the trace, that of their squares the squared norm.
    total = float(gram.trace())
    # Below the rounding error of float32 features the variance is noise.
    if total <= num_rows * 1e-12:
        return 0.0
    return total**2 / float(gram.square().sum())
