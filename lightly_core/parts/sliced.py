"""Sliced losses: the distance of random projections of embeddings to a normal distribution.

A distribution is normal with mean 0 and covariance I if and only if all of its one-dimensional
projections are normal with mean 0 and variance 1 (Cramer and Wold). Random directions, new ones in
each step, approximate this.

Shapes: V views, B images on this process, N on all processes, D channels, M slices, K knots.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import rank, reduce_sum_with_gradient, world_size
from lightly_core.parts.precision import no_autocast, single

# Separates the seeds of the slices from other seeds that depend on the step only.
_STREAM = 0x51CE


def random_slices(num_slices: int, dim: int, *, step: int, like: Tensor) -> Tensor:
    """Sample directions that depend on the step only, so that they are equal on all processes.

    Args:
        num_slices: M.
        dim: D.
        step: Optimizer steps taken so far. Each step has other slices.
        like: Tensor whose device and dtype are used. The slices of a CPU and of a GPU differ,
            since their generators differ.

    Returns:
        Rows of length 1, uniform on the sphere, (M, D), at least float32.
    """
    # SeedSequence mixes its input. Seeds of consecutive steps could give related streams.
    seed = int(np.random.SeedSequence([_STREAM, step]).generate_state(1, np.uint32)[0])
    # The device "meta" has no generator.
    device = torch.device("cpu") if like.device.type == "meta" else like.device
    generator = torch.Generator(device).manual_seed(seed)
    normal = torch.randn(num_slices, dim, generator=generator, device=device, dtype=torch.float32)
    dtype = torch.promote_types(like.dtype, torch.float32)
    return F.normalize(normal.to(like.device, dtype), dim=1)


def sigreg(
    embeddings: Tensor, slices: Tensor, *, num_knots: int = 17, last_knot: float = 3.0
) -> Tensor:
    """Return LeJEPA's SIGReg, the mean Epps-Pulley statistic over slices and views.

    For one slice a of one view, with z the embeddings of all processes::

        phi(t) = 1 / N * sum over n of exp(i * t * <a, z[n]>)
        statistic = N * integral over t of |phi(t) - exp(-t^2 / 2)|^2 * exp(-t^2 / 2)

    The integral from ``-last_knot`` to ``last_knot`` is computed by the trapezoid rule. Its
    integrand is even, so t >= 0 is sufficient. Processes exchange only sums of cosines and sines.
    https://arxiv.org/abs/2511.08544

    Args:
        embeddings: (V, B, D), B the same on all processes.
        slices: From `random_slices`, (M, D), the same on all processes.
        num_knots: K, number of values of t from 0 to `last_knot`, >= 2.
        last_knot: Largest t, > 0.

    Returns:
        Scalar, at least float32, equal on all processes. About 1.06 for normal embeddings of any
        number N. It grows in proportion to N for others.
    """
    with no_autocast(embeddings.device):
        x = single(embeddings) @ slices.T  # (V, B, M)
        num_rows = x.shape[1] * world_size()
        knots = torch.linspace(0, last_knot, num_knots, device=x.device, dtype=x.dtype)
        normal = torch.exp(-knots.square() / 2)  # (K,)
        widths = torch.full_like(knots, 2 * last_knot / (num_knots - 1))  # both signs of t
        widths[0] /= 2
        widths[-1] /= 2
        phase = x[..., None] * knots  # (V, B, M, K)
        sums = torch.stack([phase.cos().sum(dim=1), phase.sin().sum(dim=1)])  # (2, V, M, K)
        real, imaginary = reduce_sum_with_gradient(sums) / num_rows
        error = (real - normal).square() + imaginary.square()  # (V, M, K)
        statistic: Tensor = num_rows * (error @ (normal * widths)).mean()
        return statistic


def sliced_wasserstein(rows: Tensor, slices: Tensor) -> Tensor:
    """Return the mean squared distance of sorted projections to normal quantiles.

    For one slice a of one view, with x the sorted ``<a, rows[n]>`` and q from `normal_quantiles`::

        mean over n of (x[n] - q[n])^2

    This is the squared 2-Wasserstein distance of the two. VISReg
    (https://arxiv.org/abs/2606.02572) calls it the shape term. Each process sorts a part of the
    slices. The mean over processes equals the mean over all slices and views.

    Args:
        rows: Embeddings of all processes, gathered with gradient, (V, N, D), N >= 2.
        slices: From `random_slices`, (M, D), the same on all processes.

    Returns:
        Scalar, at least float32.
    """
    with no_autocast(rows.device):
        own = slices[rank() :: world_size()]
        x = (single(rows) @ own.T).sort(dim=1).values  # (V, N, M / processes)
        quantiles = normal_quantiles(x.shape[1], like=x)[:, None]  # (N, 1)
        by_slice = (x - quantiles).square().mean(dim=(0, 1))  # (M / processes,)
        # If M is not a multiple of the processes, they have different numbers of slices.
        distance: Tensor = by_slice.sum() * world_size() / len(slices)
        return distance


def normal_quantiles(num_rows: int, *, like: Tensor) -> Tensor:
    """Return N quantiles of the normal distribution, scaled to a variance of exactly 1.

    The quantiles at ``(n + 1) / (N + 1)`` have a variance below 1, 0.57 for 8 of them. Without the
    scaling, the loss would change the scale of standardised embeddings.

    Args:
        num_rows: N, >= 2.
        like: Tensor whose device and dtype are used, float32 or float64.

    Returns:
        (N,), ascending, with mean 0.
    """
    levels = torch.arange(1, num_rows + 1, device=like.device, dtype=like.dtype) / (num_rows + 1)
    quantiles: Tensor = torch.special.ndtri(levels)
    return quantiles / quantiles.square().mean().sqrt()
