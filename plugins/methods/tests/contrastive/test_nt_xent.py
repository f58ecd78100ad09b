import itertools
import math

import pytest
import torch

from lightly_core.parts.contrast import contrast_views
from lightly_methods.contrastive.simclr import nt_xent


def views(batch_size, width, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, batch_size, width, generator=generator, dtype=torch.float64)
    return first.to(dtype).requires_grad_(), second.to(dtype).requires_grad_()


def loss_of(first, second, temperature):
    return nt_xent(*contrast_views(first, second, temperature))


def plain_loop(first, second, temperature):
    """The formula of the docstring, one pair of rows at a time."""
    rows = [*first, *second]
    num_rows = len(rows)
    total = 0
    for i in range(num_rows):
        pair = (i + num_rows // 2) % num_rows
        chances = {}
        for k in range(num_rows):
            if k != i:
                cosine = (rows[i] * rows[k]).sum() / (rows[i].norm() * rows[k].norm())
                chances[k] = (cosine / temperature).exp()
        total = total - (chances[pair] / sum(chances.values())).log()
    return total / num_rows


GRID = list(itertools.product([1, 2, 5], [1, 3, 8], [0.05, 0.5, 1.0]))


@pytest.mark.parametrize(("batch_size", "width", "temperature"), GRID)
def test_matches_the_plain_loop(batch_size, width, temperature):
    first, second = views(batch_size, width)
    loss = loss_of(first, second, temperature)
    expected = plain_loop(first, second, temperature)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("batch_size", "width", "temperature"), [(2, 3, 0.1), (5, 4, 0.5)])
def test_gradients_match_those_of_the_plain_loop(batch_size, width, temperature):
    pair = views(batch_size, width)
    gradients = torch.autograd.grad(loss_of(*pair, temperature), pair)
    expected = torch.autograd.grad(plain_loop(*pair, temperature), pair)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("batch_size", [2, 4, 33])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_equal_projections_give_the_chance_level(batch_size, temperature):
    z = torch.ones(batch_size, 8)
    chance = math.log(2 * batch_size - 1)
    assert loss_of(z, z, temperature).item() == pytest.approx(chance, rel=1e-6)


@pytest.mark.parametrize("batch_size", [2, 4, 8])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equal_views_of_orthogonal_images(batch_size, temperature):
    # The pair has cosine 1, the 2B - 2 others have 0.
    z = torch.eye(batch_size, dtype=torch.float64)
    expected = math.log1p((2 * batch_size - 2) * math.exp(-1 / temperature))
    assert loss_of(z, z, temperature).item() == pytest.approx(expected, rel=1e-9)


def test_opposite_views_of_two_images():
    # Cosine -1 with the pair and 0 with the two others.
    z = torch.eye(2, dtype=torch.float64)
    expected = math.log1p(2 * math.exp(1 / 0.5))
    assert loss_of(z, -z, 0.5).item() == pytest.approx(expected, rel=1e-9)


def test_the_length_of_a_row_does_not_matter():
    first, second = views(4, 5)
    lengths = torch.tensor([[0.01], [1.0], [7.0], [1000.0]], dtype=torch.float64)
    loss = loss_of(first, second, 0.2)
    torch.testing.assert_close(loss_of(first * lengths, second / lengths, 0.2), loss)


def test_the_order_of_the_images_does_not_matter():
    first, second = views(5, 4)
    order = [3, 1, 4, 0, 2]
    loss = loss_of(first, second, 0.2)
    torch.testing.assert_close(loss_of(first[order], second[order], 0.2), loss)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_projections_are_compared_in_single_precision(dtype):
    first, second = views(4, 64, dtype)
    loss = loss_of(first, second, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(first.float(), second.float(), 0.1), rtol=0, atol=0)
    loss.backward()
    assert first.grad.dtype == dtype


def test_autocast_changes_nothing():
    first, second = views(4, 64, torch.float32)
    expected = loss_of(first, second, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(first, second, 0.1)
    assert torch.equal(loss, expected)


def test_a_row_of_zeros_gives_a_finite_loss_and_gradient():
    first, second = views(3, 4, torch.float32)
    first = first.detach().index_fill(0, torch.tensor(1), 0.0).requires_grad_()
    loss = loss_of(first, second, 0.1)
    loss.backward()
    assert loss.isfinite()
    assert first.grad.isfinite().all()
