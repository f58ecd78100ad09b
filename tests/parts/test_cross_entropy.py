import math

import pytest
import torch

from lightly_core.parts.cross_entropy import masked_patch_loss, soft_cross_entropy


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_equals_torchs_cross_entropy():
    targets, logits = draw(6, 5).softmax(dim=1), draw(6, 5, seed=1)
    expected = torch.nn.functional.cross_entropy(logits / 0.3, targets, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(targets, logits, 0.3), expected)


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    found = soft_cross_entropy(draw(2, 3, 7).softmax(dim=2), torch.zeros(2, 3, 7), 0.1)
    torch.testing.assert_close(found, torch.full((2, 3), math.log(7), dtype=torch.float64))


def test_many_classes_in_half_precision_stay_finite():
    targets = torch.full((1, 65_536), 1 / 65_536)
    logits = torch.zeros(1, 65_536, dtype=torch.float16)
    logits[0, 0] = 10
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = soft_cross_entropy(targets, logits, 0.1)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(100, rel=1e-3)


def test_targets_get_no_gradient():
    targets, logits = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    soft_cross_entropy(targets.softmax(dim=1), logits, 1.0).sum().backward()
    assert targets.grad is None
    expected = logits.detach().softmax(dim=1) - targets.detach().softmax(dim=1)
    torch.testing.assert_close(logits.grad, expected)


def test_masked_patches_are_averaged_by_image_and_then_over_all_images():
    # Image 0 has two masked patches, image 1 none, image 2 one.
    targets, logits = draw(3, 5).softmax(dim=1), draw(3, 5, seed=1)
    each = soft_cross_entropy(targets, logits, 0.1)
    expected = ((each[0] + each[1]) / 2 + 0 + each[2]) / 3
    weights = torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(masked_patch_loss(targets, logits, weights, 3, 0.1), expected)


def test_nothing_masked_costs_nothing():
    logits = torch.empty(0, 5, requires_grad=True)
    loss = masked_patch_loss(torch.empty(0, 5), logits, torch.empty(0), 4, 0.1)
    loss.backward()
    assert loss.item() == 0
