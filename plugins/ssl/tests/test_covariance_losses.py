"""Losses on covariances: VICReg's, against loops and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch

from lightly_ssl_methods.vicreg.loss import spread_terms, vicreg_terms

SHAPES = [(2, 1), (3, 5), (8, 4)]


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def white(num_rows, dim):
    """Rows with mean 0 and the identity as covariance."""
    x = draw(num_rows, dim).numpy()
    x -= x.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(x, rowvar=False))
    return torch.from_numpy(np.linalg.solve(factor, x.T).T)


def plain_spread(x):
    num_rows, dim = x.shape
    columns = [
        [row[d] - sum(x[:, d].tolist()) / num_rows for row in x.tolist()] for d in range(dim)
    ]
    variance, covariances = 0.0, 0.0
    for d, e in itertools.product(range(dim), repeat=2):
        entry = sum(a * b for a, b in zip(columns[d], columns[e], strict=True)) / (num_rows - 1)
        if d == e:
            variance += max(0.0, 1 - math.sqrt(entry + 1e-4)) / dim
        else:
            covariances += entry**2 / dim
    return variance, covariances


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_vicreg_matches_the_plain_loop(shape, scale):
    views = scale * draw(*shape), scale * draw(*shape, seed=1)
    terms = vicreg_terms(*views)
    (v_first, c_first), (v_second, c_second) = map(plain_spread, views)
    squares = [
        (a - b) ** 2 for a, b in zip(*(view.flatten().tolist() for view in views), strict=True)
    ]
    assert terms.invariance.item() == pytest.approx(sum(squares) / len(squares))
    assert terms.variance.item() == pytest.approx((v_first + v_second) / 2)
    assert terms.covariance.item() == pytest.approx(c_first + c_second, abs=1e-12)
    expected = 25 * terms.invariance + 10 * terms.variance + 2 * terms.covariance
    torch.testing.assert_close(terms.weighted(25.0, 10.0, 2.0), expected)


def test_vicreg_is_0_for_equal_white_views():
    x = white(20, 5)
    terms = vicreg_terms(x, x)
    assert terms.invariance.item() == 0
    assert terms.variance.item() == pytest.approx(0, abs=1e-12)
    assert terms.covariance.item() == pytest.approx(0, abs=1e-12)


def test_vicreg_of_collapsed_views_has_the_closed_form():
    x = torch.ones(6, 3)
    terms = vicreg_terms(x, x)
    assert terms.variance.item() == pytest.approx(1 - 0.01)  # 0.01 is the root of eps
    assert terms.covariance.item() == 0


def test_a_large_spread_is_not_pulled_at():
    x = (3 * draw(8, 4)).requires_grad_()
    variance, _ = spread_terms(x)
    variance.backward()
    assert variance.item() == 0
    assert not x.grad.any()


def test_vicreg_has_the_right_gradient():
    views = (draw(6, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: vicreg_terms(a, b).weighted(25, 25, 1), views)
