"""The numbers that tests of model families build networks with."""

import pytest
import quick_numbers
import torch
from torch import Tensor, nn


def test_rows_of_large_layers_differ_and_have_the_scale_of_the_initialisation():
    before = dict(vars(Tensor))
    small = torch.empty(100)
    expected = small.clone().normal_(generator=torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patch:
        quick_numbers.repeat_random_numbers(patch)
        first, second = nn.Linear(512, 4096), nn.Linear(512, 4096)
        noise = torch.randn_like(first.weight)
        small.normal_(generator=torch.Generator().manual_seed(1))
    assert dict(vars(Tensor)) == before
    assert torch.equal(small, expected)
    uniform = (3 * 512) ** -0.5  # the standard deviation that torch's own initialisation gives
    weights, others = first.weight.detach(), second.weight.detach()
    for numbers, std in ((weights, uniform), (others, uniform), (noise, 1.0)):
        assert len(numbers.unique(dim=0)) == 4096
        assert numbers.mean().abs() < 0.02 * std
        assert numbers.std().item() == pytest.approx(std, rel=0.02)
    assert not torch.equal(weights, others)
    assert first.weight.requires_grad
    assert first.weight.grad_fn is None
