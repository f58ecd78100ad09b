"""The loss of Barlow Twins.

B images on this process, N on all processes, P channels.
"""

from __future__ import annotations

from torch import Tensor

from lightly_core.parts.covariance import off_diagonal, second_moment, standardized


def barlow_twins_terms(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Compare the channels of two views over the images of all processes.

    With z the projections, each channel brought to mean 0 and variance 1 over all N images::

        C[d, e]  = mean over all images i of first z[i, d] * second z[i, e]
        diagonal = sum over d of (1 - C[d, d]) ** 2
        rest     = sum over d != e of C[d, e] ** 2

    The loss is ``diagonal + weight * rest``. https://arxiv.org/abs/2103.03230

    Args:
        first: Projections of the first views, (B, P).
        second: Projections of the second views, (B, P), row i from the same image.

    Returns:
        Both terms, equal on all processes, at least float32. `diagonal` is P, and `rest` 0, where
        a channel is constant.
    """
    correlation = second_moment(standardized(first), standardized(second))  # (P, P)
    on_diagonal = (1 - correlation.diagonal()).square().sum()
    return on_diagonal, off_diagonal(correlation).square().sum()
