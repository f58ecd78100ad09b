import numpy as np
import pytest
import torch

from lightly_core.parts.covariance import (
    centered,
    covariance,
    off_diagonal,
    second_moment,
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
