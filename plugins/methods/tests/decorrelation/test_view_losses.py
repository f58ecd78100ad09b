"""Losses on whole views: W-MSE, INTL, MMCR and EMP-SSL, against plain forms and closed values."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightly_core.parts.coding_rate import coding_rate
from lightly_methods.decorrelation.empssl import emp_terms
from lightly_methods.decorrelation.intl import intl_terms
from lightly_methods.decorrelation.intl_config import INTLConfig
from lightly_methods.decorrelation.mmcr import mmcr_terms
from lightly_methods.decorrelation.wmse import whitened_distance


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def units(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def plain_whitened(x, eps):
    covariance = (1 - eps) * np.cov(x, rowvar=False) + eps * np.eye(x.shape[1])
    return (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(covariance)).T


@pytest.mark.parametrize("num_views", [2, 4])
@pytest.mark.parametrize(("num_images", "size"), [(8, 8), (12, 6), (15, 5)])
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_wmse_matches_the_plain_form(num_views, num_images, size, eps):
    projections, step = draw(num_views, num_images, 3), 7
    order = torch.randperm(num_images, generator=torch.Generator().manual_seed(step)).numpy()
    white = np.zeros(projections.shape)
    for group in order.reshape(-1, size):
        for v in range(num_views):
            white[v, group] = units(plain_whitened(projections[v].numpy()[group], eps))
    pairs = list(itertools.combinations(range(num_views), 2))
    total = sum(((white[u] - white[v]) ** 2).sum(axis=1).mean() for u, v in pairs)
    found = whitened_distance(projections, step, size=size, eps=eps)
    assert found.item() == pytest.approx(total / len(pairs))


def test_wmse_is_0_for_equal_views_and_does_not_see_scale_and_shift():
    view, other = draw(12, 3), draw(12, 3, seed=1)
    equal = whitened_distance(torch.stack([view, view]), 0, size=6, eps=0.0)
    assert equal.item() == pytest.approx(0, abs=1e-12)
    first = whitened_distance(torch.stack([view, other]), 0, size=6, eps=0.0)
    changed = torch.stack([5 * view + 1, 0.1 * other])
    torch.testing.assert_close(whitened_distance(changed, 0, size=6, eps=0.0), first)


def test_wmse_shuffles_anew_in_each_step():
    projections = draw(2, 12, 3)
    losses = [whitened_distance(projections, s, size=6, eps=0.0).item() for s in (0, 1, 0)]
    assert losses[0] == losses[2]
    assert losses[0] != losses[1]
    whole = [whitened_distance(projections, s, size=12, eps=0.0).item() for s in (0, 1)]
    assert whole[0] == pytest.approx(whole[1])


def plain_newton_whitened(x, num_iterations):
    """Columns of x, whitened by a few of Newton's iterations."""
    covariance = np.cov(x, rowvar=False)
    trace, root = np.trace(covariance), np.eye(x.shape[1])
    for _ in range(num_iterations):
        root = (3 * root - root @ root @ root @ covariance / trace) / 2
    return (x - x.mean(axis=0)) @ root / math.sqrt(trace)


@pytest.mark.parametrize("num_views", [2, 3])
@pytest.mark.parametrize(("whitening", "shape"), [("images", (4, 9)), ("channels", (9, 4))])
@pytest.mark.parametrize("num_iterations", [1, 4])
def test_intl_matches_the_plain_form(num_views, whitening, shape, num_iterations):
    projections = draw(num_views, *shape) + 1
    white, traces = [], []
    for view in projections.numpy():
        columns = view.T if whitening == "images" else view
        found = plain_newton_whitened(columns, num_iterations)
        traces.append(((1 - found.var(axis=0, ddof=1)) ** 2).sum())
        white.append(units(found.T if whitening == "images" else found))
    distances = [((white[0] - other) ** 2).sum(axis=1).mean() for other in white[1:]]
    found = intl_terms(projections, whitening, num_iterations=num_iterations)
    expected = [np.mean(distances), traces[0] + np.mean(traces[1:])]
    assert [term.item() for term in found] == pytest.approx(expected)


def test_intl_is_0_for_equal_white_views():
    orthogonal = torch.linalg.qr(draw(12, 4)).Q  # columns of length 1
    view = orthogonal - orthogonal.mean(dim=0)
    view = torch.linalg.qr(view).Q * math.sqrt(11)
    terms = intl_terms(torch.stack([view, view]), "channels", num_iterations=12)
    assert [term.item() for term in terms] == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("num_views", [2, 4])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_mmcr_matches_the_plain_form(num_views, shape):
    projections, targets = draw(num_views, *shape), draw(num_views, *shape, seed=1)
    z, fixed = units(projections.numpy()), units(targets.numpy())
    means = np.concatenate([z, fixed]).mean(axis=0)
    extent = np.linalg.norm(means, "nuc")
    manifold = np.mean([np.linalg.norm(z[:, i], "nuc") for i in range(shape[0])])
    found = mmcr_terms(projections, targets)
    assert [term.item() for term in found] == pytest.approx([extent, manifold])


def test_mmcr_has_its_closed_forms():
    even = torch.eye(4).repeat(3, 1)  # 12 images in 4 directions, all views equal
    views = torch.stack([even, even])
    extent, manifold = mmcr_terms(views, views)
    assert extent.item() == pytest.approx(12 * math.sqrt(4 / 12), rel=1e-5)
    assert manifold.item() == pytest.approx(math.sqrt(2), rel=1e-5)
    collapsed = torch.ones(2, 12, 4)
    extent, _ = mmcr_terms(collapsed, collapsed)
    assert extent.item() == pytest.approx(math.sqrt(12), rel=1e-5)


def test_mmcr_takes_no_gradient_through_the_teacher():
    targets = draw(2, 5, 3).requires_grad_()
    projections = draw(2, 5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: mmcr_terms(z, targets), projections)
    mmcr_terms(projections, targets)[0].backward()
    assert targets.grad is None


@pytest.mark.parametrize("num_views", [2, 5])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_emp_ssl_matches_the_plain_form(num_views, shape):
    projections = draw(num_views, *shape)
    z = units(projections.numpy())
    means = units(z.mean(axis=0))
    cosines = [z[v, i] @ means[i] for v in range(num_views) for i in range(shape[0])]
    rates = [
        np.linalg.slogdet(np.eye(shape[1]) + shape[1] / (shape[0] * 0.2) * view.T @ view)[1] / 2
        for view in z
    ]
    found = emp_terms(projections, eps=0.2)
    assert [term.item() for term in found] == pytest.approx([1 - np.mean(cosines), np.mean(rates)])


def test_emp_ssl_rewards_room_and_agreement():
    even, equal = torch.eye(4).expand(3, 4, 4), torch.ones(3, 4, 4)
    distance, rate = emp_terms(even, eps=0.2)
    assert distance.item() == pytest.approx(0, abs=1e-6)
    assert rate.item() == pytest.approx(2 * math.log(1 + 1 / 0.2), rel=1e-5)
    assert emp_terms(equal, eps=0.2)[1] < rate
    torch.testing.assert_close(rate, coding_rate(torch.eye(4), eps=0.2))


@pytest.mark.parametrize(
    "function",
    [
        lambda z: whitened_distance(z, 0, size=4, eps=0.0),
        lambda z: intl_terms(z, "images", num_iterations=4),
        lambda z: intl_terms(z, "channels", num_iterations=4),
        lambda z: emp_terms(z, eps=0.2),
    ],
)
def test_gradients_are_right(function):
    assert torch.autograd.gradcheck(function, draw(2, 8, 3).requires_grad_())


@pytest.mark.parametrize(
    "function",
    [
        lambda z: whitened_distance(z, 0, size=8, eps=1e-5),
        lambda z: sum(intl_terms(z, "images", num_iterations=4)),
        lambda z: sum(mmcr_terms(z, F.normalize(z.flip(0), dim=2))),
        lambda z: sum(emp_terms(z, eps=0.2)),
    ],
)
def test_half_precision_is_not_used(function):
    z = draw(2, 16, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(z)
    assert torch.equal(found, function(z))
    half = function(z.bfloat16())
    assert half.dtype == torch.float32
    assert half.isfinite()


def test_intl_needs_two_dimensions():
    assert INTLConfig(output_dim=2).output_dim == 2
    with pytest.raises(ValueError, match="must be >= 2, got 1"):
        INTLConfig(output_dim=1)
