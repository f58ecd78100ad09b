import math

import pytest
import torch

from lightly_core.evaluation.rank import embedding_std, num_directions, rankme


@pytest.mark.parametrize("shape", [(12, 12), (12, 4), (4, 12)])
def test_rank_of_an_orthogonal_matrix_is_its_smaller_side(shape):
    assert rankme(torch.eye(*shape)) == pytest.approx(min(shape), rel=1e-6)


def test_rank_of_one_repeated_row_is_one():
    assert rankme(torch.arange(1.0, 6.0).expand(40, 5)) == pytest.approx(1, abs=1e-5)


def test_rank_of_zeros_is_zero():
    assert rankme(torch.zeros(8, 3)) == 0


def test_rank_of_two_unequal_directions_is_the_exponential_of_their_entropy():
    features = torch.diag(torch.tensor([3.0, 1.0, 0.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert rankme(features) == pytest.approx(math.exp(entropy), rel=1e-6)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_rank_agrees_with_the_singular_values(shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.logspace(0, -3, shape[1])
    )
    values = torch.linalg.svdvals(features.double())
    fractions = values / values.sum()
    assert rankme(features) == pytest.approx(
        float((-(fractions * fractions.log()).sum()).exp()), 1e-5
    )


def test_rank_does_not_depend_on_the_scale():
    features = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    assert rankme(1000 * features) == pytest.approx(rankme(features), rel=1e-6)


def test_std_of_evenly_spread_directions_is_one():
    axes = torch.eye(7)
    assert embedding_std(torch.cat([axes, -3 * axes])) == pytest.approx(1)


def test_std_of_one_direction_is_zero():
    lengths = torch.linspace(1, 9, 20)[:, None]
    assert embedding_std(lengths * torch.ones(20, 5)) == pytest.approx(0, abs=1e-6)


def test_std_of_two_opposite_directions():
    # Along one axis of four: standard deviations 1, 0, 0, 0, so 1/4 * sqrt(4).
    features = torch.zeros(10, 4)
    features[:5, 0], features[5:, 0] = 2.0, -5.0
    assert embedding_std(features) == pytest.approx(0.5)


def test_std_of_many_random_directions_is_close_to_one():
    features = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    assert embedding_std(features) == pytest.approx(1, abs=0.02)


# ----------------------------------------------------------------- effective dimensions


def test_num_directions_is_the_participation_ratio_of_a_principal_component_analysis():
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 3
    rows = torch.nn.functional.normalize(features, dim=1).double()
    variances = torch.linalg.svdvals(rows - rows.mean(0)) ** 2
    expected = float(variances.sum() ** 2 / (variances**2).sum())
    assert num_directions(features) == pytest.approx(expected, rel=1e-6)
    assert num_directions(features.T[:6]) > 1  # more columns than rows


def test_num_directions_on_a_line_is_one_and_of_equal_directions_zero():
    line = torch.tensor([1.0, 0.0, 0.0]) + torch.linspace(-1e-3, 1e-3, 9)[:, None] * torch.eye(3)[1]
    assert num_directions(line) == pytest.approx(1, abs=1e-3)
    assert num_directions(torch.ones(5, 3) * torch.arange(1, 6)[:, None]) == 0
    assert num_directions(torch.zeros(5, 3)) == 0


def test_num_directions_of_evenly_spread_rows_is_their_number():
    assert num_directions(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4)
