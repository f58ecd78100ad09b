"""Covariance losses from products of rows, near the optimum, against whole matrices in float64.

There nearly all of the squared norm may be on the diagonal, and the sum of the other squares is a
difference of large numbers.
"""

import pytest
import torch

from lightly_methods.decorrelation.barlowtwins import barlow_twins_terms
from lightly_methods.decorrelation.vicreg import vicreg_terms

# Products of rows are used up to N = D / 2, where the rest is smallest compared with the norm.
SHAPES = [(8, 256), (128, 256)]


def hadamard(dim):
    """Orthogonal rows of 1 and -1, (D, D), D a power of 2."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < dim:
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), matrix)
    return matrix


def optimum(num_rows, dim):
    """Rows (N, D): columns with mean 0 and variance 1, as little correlated as N rows allow.

    The N - 1 eigenvalues of the covariance that are not 0 are equal to D / (N - 1).
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(num_rows, num_rows, generator=generator, dtype=torch.float64)
    rows[:, 0] = 1
    basis = torch.linalg.qr(rows)[0][:, 1:]  # (N, N - 1), columns orthogonal to (1, ..., 1)
    return basis @ hadamard(dim)[1:num_rows]


def views_near_optimum(num_rows, dim, noise):
    generator = torch.Generator().manual_seed(1)
    x = optimum(num_rows, dim)
    noises = torch.randn(2, *x.shape, generator=generator, dtype=torch.float64)
    return [x + noise * one for one in noises]


def rest(matrix):
    return (matrix - matrix.diagonal().diag()).square().sum()


def vicreg(first, second):
    return vicreg_terms(first, second).weighted(25.0, 25.0, 1.0)


def whole_vicreg(first, second):
    loss = 25 * (first - second).square().mean()
    for z in (first, second):
        matrix = torch.cov(z.T)
        loss = loss + 12.5 * (1 - (matrix.diagonal() + 1e-4).sqrt()).relu().mean()
        loss = loss + rest(matrix) / len(matrix)
    return loss


def barlow_twins(first, second):
    diagonal, others = barlow_twins_terms(first, second)
    return diagonal + 0.0051 * others


def whole_barlow_twins(first, second):
    scaled = [(z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in (first, second)]
    matrix = scaled[0].T @ scaled[1] / len(first)
    return (1 - matrix.diagonal()).square().sum() + 0.0051 * rest(matrix)


def loss_and_gradient(function, views):
    views = [view.clone().requires_grad_() for view in views]
    loss = function(*views)
    loss.backward()
    return loss.double().item(), torch.stack([view.grad for view in views]).double()


@pytest.mark.parametrize("noise", [0.1, 1e-3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("function", "whole"), [(vicreg, whole_vicreg), (barlow_twins, whole_barlow_twins)]
)
def test_loss_and_gradient_are_as_exact_as_those_of_whole_matrices(function, whole, shape, noise):
    views = views_near_optimum(*shape, noise)
    single = [view.float() for view in views]
    # The same numbers, so that rounding of the inputs is not counted.
    loss, gradient = loss_and_gradient(whole, [view.double() for view in single])
    found_loss, found = loss_and_gradient(function, single)
    _, matrices = loss_and_gradient(whole, single)
    error, usual = (((one - gradient).norm() / gradient.norm()).item() for one in (found, matrices))
    assert found_loss == pytest.approx(loss, rel=1e-6)
    assert error < 3 * usual


@pytest.mark.parametrize("shape", SHAPES)
def test_the_optimum_has_the_closed_form(shape):
    num_rows, dim = shape
    x = optimum(*shape).float()
    # The squared norm of the covariance is D ** 2 / (N - 1), and its diagonal is 1.
    least = dim / (num_rows - 1) - 1
    assert vicreg(x, x).item() == pytest.approx(2 * least, rel=1e-5)
    diagonal, others = barlow_twins_terms(x, x)
    assert diagonal.item() == pytest.approx(0, abs=1e-6)
    assert others.item() == pytest.approx(dim * least, rel=1e-4)
