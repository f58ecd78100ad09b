import itertools
import math
from statistics import NormalDist, pstdev

import pytest
import torch

from lightly_core.parts.sliced import normal_quantiles, random_slices, sigreg, sliced_wasserstein


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def slices_for(x, num_slices=6, step=0):
    return random_slices(num_slices, x.shape[-1], step=step, like=x)


def plain_sigreg(views, slices, num_knots=17, last=3.0):
    """The docstring's formula with complex numbers, over both signs of t."""
    knots = [last * k / (num_knots - 1) for k in range(-num_knots + 1, num_knots)]
    total = 0.0
    for view in views.tolist():
        for direction in slices.tolist():
            x = [sum(a * z for a, z in zip(direction, row, strict=True)) for row in view]
            values = []
            for t in knots:
                phi = sum(complex(math.cos(t * v), math.sin(t * v)) for v in x) / len(x)
                normal = math.exp(-t * t / 2)
                values.append(abs(phi - normal) ** 2 * normal)
            width = last / (num_knots - 1)
            area = sum((a + b) / 2 * width for a, b in itertools.pairwise(values))
            total += len(x) * area
    return total / len(views) / len(slices)


def plain_wasserstein(views, slices):
    total = 0.0
    for view in views.tolist():
        for direction in slices.tolist():
            x = sorted(sum(a * z for a, z in zip(direction, row, strict=True)) for row in view)
            wanted = [NormalDist().inv_cdf((n + 1) / (len(x) + 1)) for n in range(len(x))]
            deviation = pstdev(wanted)
            for value, quantile in zip(x, wanted, strict=True):
                total += (value - quantile / deviation) ** 2 / len(x)
    return total / len(views) / len(slices)


# --------------------------------------------------------------------------- slices


def test_slices_have_length_one_and_follow_from_the_step():
    like = draw(1)
    slices = random_slices(50, 4, step=3, like=like)
    torch.testing.assert_close(slices.norm(dim=1), torch.ones(50, dtype=torch.float64))
    torch.manual_seed(7)  # what else is drawn does not matter
    assert torch.equal(random_slices(50, 4, step=3, like=like), slices)
    assert not torch.equal(random_slices(50, 4, step=4, like=like), slices)


def test_drawing_slices_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    random_slices(5, 4, step=0, like=draw(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_directions_are_used_evenly():
    slices = random_slices(20_000, 3, step=0, like=draw(1))
    torch.testing.assert_close(slices.mean(dim=0), torch.zeros(3).double(), rtol=0, atol=0.02)
    moment = slices.T @ slices / len(slices)
    torch.testing.assert_close(moment, torch.eye(3).double() / 3, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_slices_have_at_least_single_precision(given, expected):
    assert random_slices(2, 3, step=0, like=draw(1, dtype=given)).dtype == expected


# --------------------------------------------------------------------------- both statistics


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 5, 4), (3, 7, 1)])
@pytest.mark.parametrize("num_slices", [1, 6])
def test_they_equal_the_plain_loops(shape, num_slices):
    views = 1.5 * draw(*shape) + 0.3
    slices = slices_for(views, num_slices)
    assert sigreg(views, slices).item() == pytest.approx(plain_sigreg(views, slices))
    expected = plain_wasserstein(views, slices)
    assert sliced_wasserstein(views, slices).item() == pytest.approx(expected)


@pytest.mark.parametrize("function", [sigreg, sliced_wasserstein])
def test_the_gradient_is_right(function):
    views = draw(2, 4, 3).requires_grad_()
    slices = slices_for(views)
    assert torch.autograd.gradcheck(lambda x: function(x, slices), views)


@pytest.mark.parametrize("function", [sigreg, sliced_wasserstein])
def test_the_order_of_the_images_does_not_matter(function):
    views = draw(2, 6, 3)
    slices = slices_for(views)
    torch.testing.assert_close(function(views.flip(1), slices), function(views, slices))


@pytest.mark.parametrize("function", [sigreg, sliced_wasserstein])
def test_they_are_computed_in_single_precision(function):
    views = draw(2, 6, 3, dtype=torch.bfloat16)
    slices = slices_for(views)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(views, slices)
    assert found.dtype == torch.float32
    assert torch.equal(found, function(views.float(), slices))


@pytest.mark.parametrize("function", [sigreg, sliced_wasserstein])
def test_other_means_scales_and_shapes_cost_more_than_normal_embeddings(function):
    views = draw(1, 2000, 4)
    slices = slices_for(views, 64)
    best = function(views, slices).item()
    for other in (views + 1, 2 * views, views / 2, views.sign()):
        assert function(other, slices).item() > 2 * best


# --------------------------------------------------------------------------- known values


@pytest.mark.parametrize("num_rows", [3, 10])
def test_sigreg_of_collapsed_embeddings(num_rows):
    views = torch.zeros(2, num_rows, 3, dtype=torch.float64)
    # The integral of (1 - exp(-t^2 / 2))^2 * exp(-t^2 / 2), by its antiderivatives.
    area = sum(
        weight * math.sqrt(2 * math.pi / n) * math.erf(3 * math.sqrt(n / 2))
        for weight, n in ((1, 1), (-2, 2), (1, 3))
    )
    found = sigreg(views, slices_for(views)).item()
    assert found == pytest.approx(num_rows * area, rel=2e-3)


def test_sigreg_of_normal_embeddings_on_average():
    # The mean of |phi - exp(-t^2 / 2)|^2 over all batches of N images is (1 - exp(-t^2)) / N.
    area = math.sqrt(2 * math.pi) * math.erf(3 / math.sqrt(2))
    area -= math.sqrt(2 * math.pi / 3) * math.erf(3 * math.sqrt(1.5))
    views = draw(4000, 5, 2)
    assert sigreg(views, slices_for(views)).item() == pytest.approx(area, rel=0.03)


@pytest.mark.parametrize("num_rows", [2, 8, 300])
def test_quantiles_have_mean_zero_and_variance_one(num_rows):
    quantiles = normal_quantiles(num_rows, like=draw(1))
    assert quantiles.mean().item() == pytest.approx(0, abs=1e-12)
    assert quantiles.var(correction=0).item() == pytest.approx(1)
    assert (quantiles.diff() > 0).all()


def test_many_quantiles_are_those_of_the_normal_distribution():
    quantiles = normal_quantiles(9999, like=draw(1))
    found = [quantiles[place].item() for place in (249, 4999, 8412)]
    assert found == pytest.approx([-1.96, 0, 1], abs=0.01)


def test_wasserstein_is_zero_at_the_quantiles_in_any_order():
    rows = normal_quantiles(4, like=draw(1))[[2, 0, 3, 1], None]  # (4, 1)
    slices = torch.ones(1, 1, dtype=torch.float64)
    assert sliced_wasserstein(rows[None], slices).item() == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(rows[None] + 0.5, slices).item() == pytest.approx(0.25)
