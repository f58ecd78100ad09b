import numpy as np
import pytest
import torch

from lightly_core.parts.whitening import (
    cholesky_whitened,
    inverse_root,
    whitened_columns,
    whitened_rows,
)


def draw(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(shape[-1], shape[-1], generator=generator, dtype=dtype)
    return torch.randn(*shape, generator=generator, dtype=dtype) @ mixing + 1


def white(*shape):
    """Rows whose covariance Newton's iterations invert in a few steps."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def covariance_of(x):
    return torch.from_numpy(np.cov(x.numpy(), rowvar=False))


@pytest.mark.parametrize("shape", [(20, 4), (3, 12, 5), (2, 2, 8, 3)])
def test_cholesky_makes_covariances_the_identity(shape):
    found = cholesky_whitened(draw(*shape), eps=0.0).reshape(-1, *shape[-2:])
    for matrix in found:
        identity = torch.eye(shape[-1], dtype=torch.float64)
        torch.testing.assert_close(covariance_of(matrix), identity)
        torch.testing.assert_close(matrix.mean(dim=0), torch.zeros_like(matrix[0]))


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_cholesky_matches_numpy(eps):
    x = draw(9, 4).numpy()
    shrunk = (1 - eps) * np.cov(x, rowvar=False) + eps * np.eye(4)
    expected = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(shrunk)).T
    found = cholesky_whitened(torch.from_numpy(x), eps=eps)
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_shrinkage_allows_fewer_rows_than_columns():
    assert cholesky_whitened(draw(3, 6), eps=0.01).isfinite().all()


@pytest.mark.parametrize("num_iterations", [0, 1, 4])
def test_newton_is_written_as_in_the_paper(num_iterations):
    matrix = covariance_of(draw(20, 5)).numpy()
    trace = np.trace(matrix)
    expected = np.eye(5)
    for _ in range(num_iterations):
        expected = (3 * expected - np.linalg.matrix_power(expected, 3) @ matrix / trace) / 2
    found = inverse_root(torch.from_numpy(matrix), num_iterations=num_iterations)
    torch.testing.assert_close(found, torch.from_numpy(expected / np.sqrt(trace)))


def test_newton_arrives_at_the_inverse_root():
    matrix = covariance_of(white(20, 5))
    root = inverse_root(matrix, num_iterations=8)
    torch.testing.assert_close(root @ matrix @ root, torch.eye(5, dtype=torch.float64))


def test_newton_leaves_out_directions_in_which_there_is_nothing():
    matrix = torch.diag(torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64))
    root = inverse_root(matrix, num_iterations=12)
    product = (root @ matrix @ root).diagonal()
    assert product.tolist() == pytest.approx([1, 1, 0])
    assert root.isfinite().all()


def test_columns_are_whitened():
    found = whitened_columns(white(40, 4), num_iterations=8)
    torch.testing.assert_close(covariance_of(found), torch.eye(4, dtype=torch.float64))


def test_rows_are_whitened():
    found = whitened_rows(white(4, 40), num_iterations=8)
    torch.testing.assert_close(covariance_of(found.T), torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: cholesky_whitened(x, eps=0.0),
        lambda x: whitened_columns(x, num_iterations=4),
        lambda x: whitened_rows(x, num_iterations=4),
    ],
)
def test_gradients_are_right_and_half_precision_is_not_used(function):
    assert torch.autograd.gradcheck(function, draw(7, 3).requires_grad_())
    x = draw(16, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(x)
    assert torch.equal(found, function(x))
    assert function(x.bfloat16()).dtype == torch.float32
