import math

import pytest
import torch

from lightly_core.parts.multicrop import dino_loss
from lightly_dino.dino_config import DINOConfig
from lightly_dino.targets import Targets


def make(centering="softmax", **options):
    return Targets(DINOConfig(centering=centering, output_dim=5, **options))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_centre_is_used_first_and_moved_then():
    targets, logits = make(center_momentum=0.8), draw(2, 3, 5)
    first = targets(logits, 0.1)
    torch.testing.assert_close(first, (logits / 0.1).softmax(-1))
    second = targets(logits, 0.1)
    center = 0.2 * logits.flatten(0, 1).mean(0)
    torch.testing.assert_close(second, ((logits - center) / 0.1).softmax(-1))


def test_equal_outputs_make_the_targets_even_and_the_loss_log_k():
    targets, logits = make(center_momentum=0.0), torch.tensor([3.0, 1, 0, -2, 5]).expand(2, 3, 5)
    targets(logits, 0.04)
    even = targets(logits, 0.04)
    torch.testing.assert_close(even, torch.full((2, 3, 5), 0.2), atol=1e-6, rtol=0)
    assert dino_loss(even, torch.zeros(2, 3, 5), 0.1).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("centering", ["softmax", "sinkhorn", "sinkhorn_knopp"])
def test_rows_that_do_not_count_change_nothing(centering):
    with_rows, plain = make(centering), make(centering)
    logits = draw(7, 5)
    counted = torch.tensor([True, True, False, True, True, False, True])
    for temperature in (0.1, 0.07):  # the second call sees the centre that the first has moved
        got = with_rows(logits, temperature, rows=counted)
        expected = plain(logits[counted], temperature)
        torch.testing.assert_close(got[counted], expected)


def test_sinkhorn_without_a_row_that_counts_gives_zeros():
    got = make("sinkhorn")(draw(4, 5), 0.1, rows=torch.zeros(4, dtype=torch.bool))
    assert got.tolist() == torch.zeros(4, 5).tolist()


def test_sinkhorn_uses_classes_evenly():
    targets = make("sinkhorn")(draw(200, 5) + torch.tensor([4.0, 0, 0, 0, 0]), 0.5)
    torch.testing.assert_close(targets.sum(-1), torch.ones(200))
    assert (targets.sum(0) / 200 - 0.2).abs().max() < 0.02


def test_the_centre_may_follow_other_logits():
    targets, logits = make(center_momentum=0.0), draw(2, 5)
    everything = draw(6, 5, seed=1)
    targets(logits, 0.1, center_on=everything)
    torch.testing.assert_close(
        targets(logits, 0.1), ((logits - everything.mean(0)) / 0.1).softmax(-1)
    )


@pytest.mark.parametrize("total", [10, 100, 7800])
def test_a_short_run_reaches_its_temperature(total):
    config = DINOConfig(teacher_temp=0.07, warmup_teacher_temp=0.04)
    assert config.teacher_temperature(0, total) == pytest.approx(0.04)
    assert config.teacher_temperature(int(0.3 * total), total) == pytest.approx(0.07)
    assert config.teacher_temperature(total - 1, total) == pytest.approx(0.07)


def test_a_long_run_warms_up_in_the_steps_of_the_paper():
    config = DINOConfig(teacher_temp=0.07, warmup_teacher_temp=0.04)
    assert config.teacher_temperature(37_499, 1_000_000) == pytest.approx(0.07)
    assert config.teacher_temperature(18_750, 1_000_000) == pytest.approx(0.055, abs=1e-4)
