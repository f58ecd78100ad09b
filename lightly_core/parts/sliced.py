"""Embeddings along random directions: how far each is from a normal distribution.

A distribution is normal with mean 0 and covariance I just where all of its projections to lines
are normal with mean 0 and variance 1 (Cramer and Wold); some random lines, new ones in each step,
stand for all.

Shapes: V views, B images on this process, N on all processes, D channels, M slices, K knots.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import rank, reduce_sum_with_gradient, world_size
from lightly_core.parts.precision import no_autocast, single

# Keeps the slices apart from whatever else is seeded by the step alone.
_STREAM = 0x51CE


def random_slices(num_slices: int, dim: int, *, step: int, like: Tensor) -> Tensor:
    """Draw directions that depend on the step only, so that all processes have the same.

    Args:
        num_slices: M.
        dim: D.
        step: Optimizer steps taken so far; each has slices of its own.
        like: Says device and number type. Kinds of devices have generators of their own: a CPU
            and a GPU draw other slices.

    Returns:
        Rows of length 1, uniform on the sphere, (M, D), at least float32.
    """
    # SeedSequence mixes its input well; neighbouring steps would else give related streams.
    seed = int(np.random.SeedSequence([_STREAM, step]).generate_state(1, np.uint32)[0])
    # "meta" has no generator; it has no values either.
    device = torch.device("cpu") if like.device.type == "meta" else like.device
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(num_slices, dim, generator=generator, device=device, dtype=torch.float32)
    dtype = torch.promote_types(like.dtype, torch.float32)
    return F.normalize(drawn.to(like.device, dtype), dim=1)


def sigreg(
    embeddings: Tensor, slices: Tensor, *, num_knots: int = 17, last_knot: float = 3.0
) -> Tensor:
    """Return the Epps-Pulley statistic of each slice and view, averaged; LeJEPA's SIGReg.

    For one slice a of one view, with z the embeddings of all processes::

        phi(t) = 1 / N * sum over n of exp(i * t * <a, z[n]>)
        statistic = N * integral over t of |phi(t) - exp(-t^2 / 2)|^2 * exp(-t^2 / 2)

    The integral goes from ``-last_knot`` to ``last_knot`` by the trapezoid rule; its integrand is
    even, so positive t are enough. Only sums of cosines and sines leave a process.
    https://arxiv.org/abs/2511.08544

    Args:
        embeddings: (V, B, D), B the same on all processes.
        slices: From `random_slices`, (M, D), the same on all processes.
        num_knots: K, places t from 0 on, >= 2.
        last_knot: Largest t, > 0.

    Returns:
        Scalar, at least float32, equal on all processes. About 1.06 for embeddings that are
        normal, however many there are; of the order of N for others.
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
    """Return the squared distance of sorted projections to quantiles of the normal distribution.

    For one slice a of one view, with x the sorted ``<a, rows[n]>`` and q from `normal_quantiles`::

        mean over n of (x[n] - q[n])^2

    This is the squared 2-Wasserstein distance of the two; VISReg
    (https://arxiv.org/abs/2606.02572) calls it the shape term. Each process sorts its share of the
    slices; the mean over processes is that over all slices and views.

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
        # Where M is no multiple of the processes, they have shares of several sizes.
        distance: Tensor = by_slice.sum() * world_size() / len(slices)
        return distance


def normal_quantiles(num_rows: int, *, like: Tensor) -> Tensor:
    """Return N numbers that are spread as the normal distribution, with variance 1 exactly.

    Its quantiles at ``(n + 1) / (N + 1)`` alone have a variance below 1, 0.57 for 8 of them, and
    would pull at the scale of embeddings that are standardised already.

    Args:
        num_rows: N, >= 2.
        like: Says device and number type, float32 or float64.

    Returns:
        (N,), ascending, with mean 0.
    """
    places = torch.arange(1, num_rows + 1, device=like.device, dtype=like.dtype) / (num_rows + 1)
    quantiles: Tensor = torch.special.ndtri(places)
    return quantiles / quantiles.square().mean().sqrt()
