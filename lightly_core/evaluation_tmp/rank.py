"""How much of their space features use: two measures of collapse that need no labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
    """Return the spread of the features' directions.

    The standard deviation of every dimension over the L2-normalised rows, averaged and multiplied
    by sqrt(D) (Chen & He 2021, https://arxiv.org/abs/2011.10566).

    Args:
        features: Any float type, (N, D).

    Returns:
        1 when directions are spread evenly, 0 when all are the same.
    """
    rows = F.normalize(features.double(), dim=1)
    return float(rows.std(dim=0, correction=0).mean() * rows.shape[1] ** 0.5)
