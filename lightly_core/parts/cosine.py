"""Comparing directions: the regression loss of BYOL and SimSiam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


def cosine_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Return one minus the mean cosine of rows.

    Twice this is the squared distance of the rows at length 1, the loss of BYOL
    (https://arxiv.org/abs/2006.07733); SimSiam (https://arxiv.org/abs/2011.10566) leaves out the 1.

    Args:
        prediction: (..., D), any length.
        target: (..., D); no gradient flows into it.

    Returns:
        Scalar in [0, 2], at least float32.
    """
    with no_autocast(prediction.device):
        first = F.normalize(single(prediction), dim=-1)
        second = F.normalize(single(target.detach()), dim=-1)
        return 1 - (first * second).sum(dim=-1).mean()
