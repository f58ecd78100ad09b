import math

import pytest
import torch

from lightly_core.parts.coding_rate import coding_rate, coding_rate_weight


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("eps", [0.05, 0.5])
@pytest.mark.parametrize("shape", [(7, 4), (3, 5)])
def test_it_equals_the_determinant(shape, eps):
    z = draw(*shape)
    rows = z / z.norm(dim=1, keepdim=True)
    num_rows, dim = shape
    matrix = torch.eye(dim, dtype=z.dtype)
    for row in rows:
        matrix += dim / (num_rows * eps) * torch.outer(row, row)
    expected = math.log(torch.linalg.det(matrix).item()) / 2
    assert coding_rate(z, eps=eps).item() == pytest.approx(expected)


def test_collapsed_rows_have_the_closed_form():
    rate = coding_rate(torch.ones(6, 8), eps=0.05).item()
    assert rate == pytest.approx(math.log(1 + 8 / 0.05) / 2, rel=1e-5)


def test_evenly_used_directions_have_the_closed_form_and_are_the_best():
    rate = coding_rate(torch.eye(8).repeat(3, 1), eps=0.05).item()
    assert rate == pytest.approx(8 * math.log(1 + 1 / 0.05) / 2, rel=1e-5)
    assert coding_rate(draw(24, 8), eps=0.05).item() < rate


def test_lengths_do_not_matter():
    z = draw(6, 4)
    assert coding_rate(5 * z, eps=0.1).item() == pytest.approx(coding_rate(z, eps=0.1).item())


def test_lengths_count_where_they_are_asked_to():
    z = draw(6, 4)
    matrix = torch.eye(4, dtype=z.dtype) + 4 / (6 * 0.1) * z.T @ z
    expected = math.log(torch.linalg.det(matrix).item()) / 2
    assert coding_rate(z, eps=0.1, normalize=False).item() == pytest.approx(expected)
    assert coding_rate(z, eps=0.1).item() != pytest.approx(expected)


def test_the_gradient_is_right():
    z = draw(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: coding_rate(x, eps=0.1), z)


def test_it_is_computed_in_single_precision():
    z = draw(64, 32, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = coding_rate(z, eps=0.05)
    assert found.dtype == torch.float32
    assert torch.equal(found, coding_rate(z, eps=0.05))
    exact = coding_rate(z.double(), eps=0.05).item()
    assert found.item() == pytest.approx(exact, rel=1e-5)


def test_half_precision_is_converted():
    assert coding_rate(draw(8, 4).bfloat16(), eps=0.05).dtype == torch.float32


def test_the_weight_of_simdino():
    assert coding_rate_weight(256, 512) == pytest.approx(1 / 256 + 1 / 512)


def test_eps_must_be_positive():
    with pytest.raises(ValueError, match="eps > 0, got 0"):
        coding_rate(draw(4, 3), eps=0)
