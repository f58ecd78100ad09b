import math

import pytest
import torch

from lightly_core.parts.koleo import koleo


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def plain(x, eps):
    x = x / x.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(len(x)):
        nearest = min(float((x[i] - x[j]).norm()) for j in range(len(x)) if j != i)
        total -= math.log(nearest + eps)
    return total / len(x)


@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_it_equals_the_plain_loop(eps):
    assert koleo(draw(7, 4), eps=eps).item() == pytest.approx(plain(draw(7, 4), eps))


def test_a_known_nearest_neighbour():
    # Angles of 0, 60 and 180 degrees: distances 1, 1 and sqrt(3).
    angles = torch.tensor([0, math.pi / 3, math.pi], dtype=torch.float64)
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert koleo(x).item() == pytest.approx(-math.log(math.sqrt(3)) / 3, abs=1e-7)


def test_two_opposite_embeddings_are_the_best():
    assert koleo(torch.tensor([[1.0, 0], [-3, 0]])).item() == pytest.approx(-math.log(2))


def test_equal_embeddings_cost_the_bound_and_have_a_finite_gradient():
    x = torch.ones(4, 3, requires_grad=True)
    loss = koleo(x)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-8), rel=1e-5)
    assert x.grad.isfinite().all()


def test_the_gradient_is_right():
    assert torch.autograd.gradcheck(koleo, draw(5, 3).requires_grad_())


def test_it_is_computed_in_single_precision():
    x = draw(16, 8, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(koleo(x), koleo(x))
        found = koleo(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, koleo(x))


def test_a_descent_spreads_embeddings():
    x = draw(16, 3, dtype=torch.float32).mul(0.05).add(1).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    before = koleo(x).item()
    for _ in range(50):
        optimizer.zero_grad()
        koleo(x).backward()
        optimizer.step()
    assert koleo(x).item() < before - 2


def test_a_single_embedding_is_refused():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        koleo(torch.ones(1, 3))
