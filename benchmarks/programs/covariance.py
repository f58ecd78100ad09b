"""CPU milliseconds of a covariance loss with its gradient at 8192 dimensions.

python covariance.py vicreg|barlowtwins IMAGES ours|plain
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import Tensor

from lightly_methods.decorrelation.barlowtwins import barlow_twins_terms
from lightly_methods.decorrelation.vicreg import vicreg_terms

DIM = 8192


def plain(method: str, first: Tensor, second: Tensor) -> Tensor:
    """The same loss from whole (P, P) matrices, as in the papers' code."""
    number = len(first)
    if method == "barlowtwins":
        scaled = [
            (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (first, second)
        ]
        matrix = scaled[0].T @ scaled[1] / number
        diagonal = torch.diagonal(matrix)
        rest = matrix.square().sum() - diagonal.square().sum()
        return (1 - diagonal).square().sum() + 0.005 * rest
    loss = 25 * (first - second).square().mean()
    for z in (first, second):
        centered = z - z.mean(0)
        matrix = centered.T @ centered / (number - 1)
        variances = torch.diagonal(matrix)
        loss = loss + 12.5 * (1 - (variances + 1e-4).sqrt()).relu().mean()
        loss = loss + (matrix.square().sum() - variances.square().sum()) / DIM
    return loss


def ours(method: str, first: Tensor, second: Tensor) -> Tensor:
    """The loss of our method."""
    if method == "barlowtwins":
        diagonal, rest = barlow_twins_terms(first, second)
        return diagonal + 0.005 * rest
    return vicreg_terms(first, second).weighted(25, 25, 1)


def main(method: str, images: str, form: str) -> None:
    """Measure the second of two steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    views = [torch.randn(int(images), DIM, requires_grad=True) for _ in range(2)]
    for _ in range(2):
        start = time.process_time()
        (ours if form == "ours" else plain)(method, *views).backward()
    print(json.dumps({"value": (time.process_time() - start) * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
