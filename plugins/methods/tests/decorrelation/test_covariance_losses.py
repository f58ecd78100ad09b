"""Losses on covariances: VICReg, Barlow Twins, TiCo and FroSSL, against loops and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch

from lightly_methods.decorrelation.barlowtwins import barlow_twins_terms
from lightly_methods.decorrelation.frossl import frossl_terms
from lightly_methods.decorrelation.tico import batch_moment, covariance_contrast
from lightly_methods.decorrelation.vicreg import variance_covariance, vicreg_terms

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
    variance, _ = variance_covariance(x)
    variance.backward()
    assert variance.item() == 0
    assert not x.grad.any()


def test_vicreg_has_the_right_gradient():
    views = (draw(6, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: vicreg_terms(a, b).weighted(25, 25, 1), views)


def plain_standard(x):
    """Columns with mean 0 and variance 1, the variance divided by N."""
    x = x.numpy()
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_barlow_twins_matches_the_plain_loop(shape):
    views = draw(*shape), 5 * draw(*shape, seed=1) + 2
    first, second = map(plain_standard, views)
    num_rows, dim = shape
    diagonal, rest = 0.0, 0.0
    for d, e in itertools.product(range(dim), repeat=2):
        entry = sum(first[i, d] * second[i, e] for i in range(num_rows)) / num_rows
        if d == e:
            diagonal += (1 - entry) ** 2
        else:
            rest += entry**2
    found = barlow_twins_terms(*views)
    assert [term.item() for term in found] == pytest.approx([diagonal, rest])


def test_barlow_twins_is_0_for_equal_white_views_of_any_scale():
    x = white(20, 5)
    diagonal, rest = barlow_twins_terms(1e3 * x, 7 * x + 1)
    assert diagonal.item() == pytest.approx(0, abs=1e-9)
    assert rest.item() == pytest.approx(0, abs=1e-12)


def test_barlow_twins_of_collapsed_views_has_the_closed_form():
    diagonal, rest = barlow_twins_terms(torch.ones(6, 3), torch.ones(6, 3))
    assert (diagonal.item(), rest.item()) == (3, 0)


def test_barlow_twins_has_the_right_gradient():
    views = (draw(6, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(barlow_twins_terms, views)


@pytest.mark.parametrize("shape", SHAPES)
def test_tico_matches_the_plain_loop(shape):
    z, other = draw(*shape), draw(*shape, seed=1)
    rows = [row / row.norm() for row in z]
    moment = sum(torch.outer(row, row) for row in rows) / len(rows)
    torch.testing.assert_close(batch_moment(z), moment)
    memory = batch_moment(other)
    contrast = sum(row @ memory @ row for row in rows) / len(rows)
    torch.testing.assert_close(covariance_contrast(z, memory), contrast)


def test_tico_has_its_closed_forms():
    equal, even = torch.ones(6, 4), torch.eye(4)
    assert covariance_contrast(equal, batch_moment(equal)).item() == pytest.approx(1)
    assert covariance_contrast(even, batch_moment(even)).item() == pytest.approx(1 / 4)
    assert batch_moment(draw(9, 4)).trace().item() == pytest.approx(1)


def test_tico_takes_no_gradient_through_the_moments():
    z, memory = draw(5, 3).requires_grad_(), batch_moment(draw(5, 3, seed=1))
    assert not batch_moment(z).requires_grad
    assert torch.autograd.gradcheck(lambda z: covariance_contrast(z, memory), z)
    memory.requires_grad_()
    covariance_contrast(z, memory).backward()
    assert memory.grad is None


@pytest.mark.parametrize("num_views", [2, 3])
@pytest.mark.parametrize("shape", [(2, 4), (4, 4), (9, 3), (3, 8)])
def test_frossl_matches_the_plain_form(num_views, shape):
    projections = 3 * draw(num_views, *shape) + 1
    num_rows, dim = shape
    columns = np.stack([plain_standard(view) for view in projections]) / math.sqrt(num_rows)
    spectrum = sum(2 * math.log(np.linalg.norm(z.T @ z / dim)) for z in columns)
    mean = columns.mean(axis=0)
    invariance = num_views * sum(((z - mean) ** 2).sum() for z in columns) / num_rows
    found = frossl_terms(projections)
    assert [term.item() for term in found] == pytest.approx([spectrum, invariance])


def test_frossl_compares_two_views_as_the_authors_do():
    """Mean squared difference of columns with mean 0 and length sqrt(P)."""
    projections = 1e6 * draw(2, 9, 4) + 1  # the 1e-5 added to variances then counts for nothing
    first, second = (view - view.mean(dim=0) for view in projections)
    first, second = (2 * view / view.norm(dim=0) for view in (first, second))
    expected = (first - second).square().mean().item()
    assert frossl_terms(projections)[1].item() == pytest.approx(expected)


def test_frossl_has_its_closed_forms():
    even = white(20, 4)
    spectrum, invariance = frossl_terms(torch.stack([even, even, even]))
    assert spectrum.item() == pytest.approx(-6 * math.log(math.sqrt(4)), rel=1e-4)
    assert invariance.item() == pytest.approx(0, abs=1e-20)
    # Channels that all say the same.
    same = draw(20, 1).expand(20, 4)
    spectrum, _ = frossl_terms(torch.stack([same, same]))
    assert spectrum.item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("shape", [(2, 6, 3), (3, 3, 5)])
def test_frossl_has_the_right_gradient(shape):
    assert torch.autograd.gradcheck(frossl_terms, draw(*shape).requires_grad_())
