import math

import pytest
import torch

from lightly_core.parts.direction_std import direction_std


@pytest.mark.parametrize("shape", [(2, 3), (7, 4), (1, 5)])
def test_matches_the_plain_loop(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = [[v / math.hypot(*row) for v in row] for row in x.tolist()]
    total = 0.0
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        total += math.sqrt(sum((v - mean) ** 2 for v in column) / len(column))
    expected = total / shape[1] * math.sqrt(shape[1])
    assert direction_std(x).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_closed_forms():
    assert direction_std(torch.ones(4, 8)) == 0
    assert direction_std(torch.arange(1.0, 5.0)[:, None] * torch.ones(8)) < 1e-6
    both_ways = torch.cat([torch.eye(8), -torch.eye(8)])
    assert direction_std(both_ways).item() == pytest.approx(1)


def test_no_gradient_and_single_precision():
    x = torch.randn(4, 3, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        std = direction_std(x)
    assert std.dtype == torch.float32
    assert not std.requires_grad
