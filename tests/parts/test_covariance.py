import numpy as np
import pytest
import torch

from lightly_core.parts.covariance import (
    centered,
    covariance,
    diagonal_and_rest,
    off_diagonal,
    second_moment,
    squared_norm,
    standardized,
)


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=generator, dtype=dtype) + 2


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("shape", [(7, 4), (3, 5)])
def test_covariances_are_those_of_numpy(shape, ddof):
    x = draw(*shape)
    expected = torch.from_numpy(np.cov(x.numpy(), rowvar=False, ddof=ddof))
    torch.testing.assert_close(covariance(x, ddof=ddof), expected)


def test_second_moments_match_the_plain_loop():
    first, second = draw(6, 3), draw(6, 2, seed=1)
    expected = torch.zeros(3, 2, dtype=torch.float64)
    for one, other in zip(first, second, strict=True):
        expected += torch.outer(one, other) / 6
    torch.testing.assert_close(second_moment(first, second), expected)


def test_columns_are_brought_to_mean_0_and_variance_1():
    x = draw(9, 4)
    found = standardized(x, eps=0.0)
    torch.testing.assert_close(centered(x).sum(dim=0), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(found.square().mean(dim=0), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(9, 4), (2, 3)])
def test_standardising_is_a_batch_norm_without_parameters(shape):
    x = draw(*shape)
    norm = torch.nn.BatchNorm1d(shape[1], affine=False).double()
    torch.testing.assert_close(standardized(x), norm(x))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_diagonal_is_left_out(dim):
    matrix = draw(dim, dim)
    expected = [matrix[i, j].item() for i in range(dim) for j in range(dim) if i != j]
    assert off_diagonal(matrix).flatten().tolist() == expected


def test_large_diagonals_do_not_drown_the_rest():
    matrix = 1e4 * torch.eye(64) + 1e-3 * (1 - torch.eye(64))
    assert off_diagonal(matrix).square().sum().item() == pytest.approx(64 * 63 * 1e-6, rel=1e-5)


@pytest.mark.parametrize("function", [covariance, standardized])
def test_gradients_are_right(function):
    x = draw(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradcheck(lambda x: off_diagonal(covariance(x)), x)


@pytest.mark.parametrize("function", [centered, covariance, standardized])
def test_half_precision_is_not_used(function):
    x = draw(64, 8, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(x)
    assert torch.equal(found, function(x))
    assert function(x.bfloat16()).dtype == torch.float32


# N >= D: the (D, D) matrix. N < D: products of rows for the norm. 2 N <= D: for the rest too.
@pytest.mark.parametrize("shape", [(7, 4), (5, 7), (3, 8), (3, 2, 8), (7, 2, 4)])
def test_norm_diagonal_and_rest_are_those_of_the_whole_matrix(shape):
    first, second = draw(*shape), draw(*shape, seed=1)
    matrix = torch.einsum("b...d,b...e->...de", first, second) / (shape[0] - 1)
    torch.testing.assert_close(second_moment(first, second, ddof=1), matrix)
    squares = matrix.square().sum(dim=(-2, -1))
    torch.testing.assert_close(squared_norm(first, second, ddof=1), squares)
    diagonal, rest = diagonal_and_rest(first, second, ddof=1)
    expected = matrix.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(diagonal, expected)
    torch.testing.assert_close(rest, squares - expected.square().sum(dim=-1))
    inputs = (first.requires_grad_(), second.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: diagonal_and_rest(a, b, ddof=1), inputs)


@pytest.mark.parametrize("scale", [1.0, 100.0])  # of the first column
def test_without_the_matrix_errors_are_of_the_size_of_the_last_digit_of_the_norm(scale):
    # Orthogonal rows have the smallest rest that 64 rows of 512 columns can have.
    rows = 16 * torch.linalg.qr(draw(512, 64))[0].T  # (64, 512)
    rows[:, 0] *= scale
    exact, single = rows.clone().requires_grad_(), rows.float().requires_grad_()
    matrix = second_moment(exact, exact)
    expected = off_diagonal(matrix).square().sum()
    _, found = diagonal_and_rest(single, single)
    assert abs(found.item() - expected.item()) < 1e-6 * matrix.square().sum().item()
    if scale == 1:
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    expected.backward()
    found.backward()
    error = (single.grad - exact.grad).norm() / exact.grad.norm()
    assert error.item() < 1e-5
