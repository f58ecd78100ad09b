import io

import pytest
import torch

from lightly_core.parts.centering import Center


def logits(seed=0, *shape):
    return torch.randn(*(shape or (6, 5)), generator=torch.Generator().manual_seed(seed))


def test_it_is_the_moving_average_of_the_means():
    center = Center(5, momentum=0.8)
    expected = torch.zeros(5)
    for seed in range(6):
        center.update(logits(seed))
        expected = 0.8 * expected + 0.2 * logits(seed).mean(dim=0)
    torch.testing.assert_close(center.center, expected)


def test_constant_outputs_become_the_centre():
    center = Center(5)
    for _ in range(200):
        center.update(torch.arange(5.0).expand(3, 5))
    torch.testing.assert_close(center.center, torch.arange(5.0))
    shares = center.probabilities(torch.arange(5.0).expand(3, 5), 0.04)
    torch.testing.assert_close(shares, torch.full((3, 5), 0.2))


def test_the_centre_is_subtracted_before_the_temperature_divides():
    center = Center(5, momentum=0.0)
    center.update(logits(1))
    x, mean = logits(2), logits(1).mean(dim=0)
    powers = ((x - mean) / 0.3).exp()
    expected = powers / powers.sum(dim=1, keepdim=True)
    torch.testing.assert_close(center.probabilities(x, 0.3), expected)


def test_a_step_uses_the_centre_of_the_steps_before():
    center, fresh = Center(5), Center(5)
    targets = center.probabilities(logits(), 0.1)
    center.update(logits())
    assert torch.equal(targets, fresh.probabilities(logits(), 0.1))
    assert not torch.equal(center.probabilities(logits(), 0.1), targets)


def test_all_leading_dimensions_count_as_rows():
    center, flat = Center(5), Center(5)
    center.update(logits(0, 2, 3, 5))
    flat.update(logits(0, 2, 3, 5).reshape(6, 5))
    torch.testing.assert_close(center.center, flat.center)


def test_rows_that_do_not_count_are_left_out():
    center, expected = Center(5), Center(5)
    x = logits(0, 2, 3, 5)
    counted = torch.tensor([[True, False, True], [False, False, True]])
    expected.update(x[counted])
    x[0, 1] = float("nan")
    center.update(x, counted)
    torch.testing.assert_close(center.center, expected.center)


def test_without_rows_the_centre_stays():
    center = Center(5)
    center.update(logits())
    before = center.center.clone()
    center.update(torch.empty(0, 5))
    assert torch.equal(center.center, before)


def test_the_targets_are_single_precision_without_gradient():
    center = Center(5)
    x = logits().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        targets = center.probabilities(x.bfloat16(), 0.04)
        center.update(x.bfloat16())
    assert targets.dtype == center.center.dtype == torch.float32
    assert not targets.requires_grad
    assert not center.center.requires_grad
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_centre_goes_on_exactly(dtype):
    center = Center(5)
    center.update(logits().to(dtype))
    file = io.BytesIO()
    torch.save(center.state_dict(), file)
    file.seek(0)
    fresh = Center(5)
    fresh.update(logits(9).to(dtype))
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    for one in (center, fresh):
        one.update(logits(1).to(dtype))
    assert torch.equal(fresh.center, center.center)
    assert fresh.center.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_centre_is_the_same_read_in_a_step_and_between_steps(dtype):
    centres = []
    for default in (torch.float32, dtype):
        center = Center(5)
        center.update(logits().to(dtype))
        torch.set_default_dtype(default)
        try:
            centres.append(center.center)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*centres)


def test_a_centre_of_another_width_is_not_loaded():
    with pytest.raises(ValueError, match="4 numbers, expected 5"):
        Center(5).load_state_dict(Center(4).state_dict())


def test_nothing_is_sent_to_other_processes_in_each_step():
    assert not [*Center(5).buffers(), *Center(5).parameters()]


def test_no_value_is_read_from_the_device():
    # "meta" has no values to read.
    center = Center(5)
    for _ in range(2):
        center.update(torch.empty(3, 5, device="meta"))
    assert center.probabilities(torch.empty(3, 5, device="meta"), 0.1).device.type == "meta"


@pytest.mark.parametrize("arguments", [(0, 0.9), (5, 1.1), (5, -0.1)])
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=f"momentum={arguments[1]}"):
        Center(*arguments)
