import math

import pytest
import torch

from lightly_core.parts.sinkhorn import sinkhorn


def logits(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def published(scores, temperature, iterations):
    """The form of SwAV's paper: products, no logarithms."""
    q = (scores / temperature).exp().T  # (K, B)
    num_classes, num_rows = q.shape
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / num_classes
        q = q / q.sum(dim=0, keepdim=True) / num_rows
    return (q * num_rows).T


@pytest.mark.parametrize("iterations", [1, 2, 3, 10])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_equals_the_published_form(iterations, temperature):
    scores = logits(12, 5)
    found = sinkhorn(scores, temperature, num_iterations=iterations)
    torch.testing.assert_close(found, published(scores, temperature, iterations))


def test_rows_sum_to_one_and_columns_to_their_share():
    shares = sinkhorn(logits(20, 4), 0.5, num_iterations=200)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(dim=0), torch.full((4,), 5.0, dtype=torch.float64))


def test_constants_in_rows_columns_and_everywhere_do_not_matter():
    scores = logits(20, 4)
    expected = sinkhorn(scores, 0.5, num_iterations=200)
    changed = scores + 3 + logits(20, 1) + logits(1, 4)
    torch.testing.assert_close(sinkhorn(changed, 0.5, num_iterations=200), expected)


def test_a_collapsed_teacher_is_spread_evenly():
    scores = torch.tensor([5.0, 1.0, -2.0]).expand(6, 3)
    torch.testing.assert_close(sinkhorn(scores, 0.05), torch.full((6, 3), 1 / 3))


def test_equal_numbers_of_clear_rows_keep_their_classes():
    scores = torch.eye(4).repeat(3, 1)
    torch.testing.assert_close(sinkhorn(scores, 0.02), scores, atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [0.02, 0.04, 0.07, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sharp_temperatures_are_stable_in_single_precision(temperature, dtype):
    # One class is far from every row: its column of exp(...) is 0 in single precision.
    scores = logits(64, 16, dtype=torch.float32).clamp(-1, 1)
    scores[:, 3] = -6
    found = sinkhorn(scores.to(dtype), temperature)
    expected = sinkhorn(scores.to(dtype).double(), temperature)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected.float(), atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(64))


def test_autocast_changes_nothing():
    scores = logits(8, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sinkhorn(scores, 0.1)
    assert torch.equal(found, sinkhorn(scores, 0.1))


def test_leading_dimensions_are_assigned_one_by_one():
    scores = logits(3, 12, 5)
    found = sinkhorn(scores, 0.2)
    for part, expected in zip(found, scores, strict=True):
        torch.testing.assert_close(part, sinkhorn(expected, 0.2))


def test_no_rows_give_no_rows():
    assert sinkhorn(torch.empty(0, 5), 0.1).shape == (0, 5)


def test_a_single_row_is_spread_over_all_classes():
    # Each class has only this row to take its share from.
    found = sinkhorn(logits(1, 5), 0.1)
    assert -(found * found.log()).sum().item() == pytest.approx(math.log(5))


def test_rows_that_take_no_part_leave_the_others_alone():
    scores = logits(12, 5)
    rows = torch.arange(12) % 3 != 0
    found = sinkhorn(scores, 0.2, rows=rows)
    torch.testing.assert_close(found[rows], sinkhorn(scores[rows], 0.2))
    assert not found[~rows].any()


def test_rows_may_differ_among_the_leading_dimensions():
    scores = logits(2, 6, 5)
    rows = torch.tensor([[True] * 6, [True, False, True, True, False, False]])
    found = sinkhorn(scores, 0.2, rows=rows)
    for part, expected, taking_part in zip(found, scores, rows, strict=True):
        torch.testing.assert_close(part[taking_part], sinkhorn(expected[taking_part], 0.2))


def test_where_no_row_takes_part_all_are_zero():
    found = sinkhorn(logits(4, 5), 0.2, rows=torch.zeros(4, dtype=torch.bool))
    assert torch.equal(found, torch.zeros(4, 5, dtype=torch.float64))


def test_there_is_no_gradient():
    assert not sinkhorn(logits(4, 3).requires_grad_(), 0.1).requires_grad


def test_it_takes_at_least_one_iteration():
    with pytest.raises(ValueError, match="num_iterations >= 1, got 0"):
        sinkhorn(logits(4, 3), 0.1, num_iterations=0)


def test_three_iterations_are_the_default_as_in_the_papers():
    scores = logits(12, 5)
    torch.testing.assert_close(sinkhorn(scores, 0.1), published(scores, 0.1, 3))
