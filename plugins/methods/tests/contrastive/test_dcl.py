import itertools
import math

import pytest
import torch

from lightly_core.parts.contrast import contrast_views
from lightly_methods.contrastive.dcl import decoupled, pair_weights, positives


def views(batch_size, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, batch_size, width, generator=generator, dtype=torch.float64)
    return first.requires_grad_(), second.requires_grad_()


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def plain_dcl(first, second, temperature, weights=None):
    """The papers' formula, one pair of rows at a time."""
    total = 0
    num_images = len(first)
    for one, other in ((first, second), (second, first)):
        for i in range(num_images):
            chances = [
                (cosine(one[i], rows[j]) / temperature).exp()
                for j in range(num_images)
                if j != i
                for rows in (one, other)
            ]
            weight = 1 if weights is None else weights[i]
            total = total - weight * cosine(one[i], other[i]) / temperature
            total = total + sum(chances).log()
    return total / (2 * num_images)


def plain_weights(first, second, sigma):
    chances = [(cosine(a, b) / sigma).exp() for a, b in zip(first, second, strict=True)]
    return [(2 - len(first) * chance / sum(chances)).detach() for chance in chances]


GRID = list(itertools.product([2, 3, 6], [2, 5], [0.1, 1.0]))


@pytest.mark.parametrize(("batch_size", "width", "temperature"), GRID)
def test_dcl_and_its_gradients_match_the_plain_loop(batch_size, width, temperature):
    pair = views(batch_size, width)
    loss = decoupled(*contrast_views(*pair, temperature))
    expected = plain_dcl(*pair, temperature)
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(one, pair) for one in (loss, expected))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("batch_size", "width", "temperature"), GRID)
@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_dclw_and_its_gradients_match_the_plain_loop(batch_size, width, temperature, sigma):
    pair = views(batch_size, width)
    logits, columns = contrast_views(*pair, temperature)
    weights = pair_weights(positives(logits, columns) * temperature, sigma)
    loss = decoupled(logits, columns, weights)
    expected = plain_dcl(*pair, temperature, plain_weights(*pair, sigma))
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(one, pair) for one in (loss, expected))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("batch_size", [2, 9])
def test_equal_projections_give_the_chance_level(batch_size):
    z = torch.ones(batch_size, 4)
    loss = decoupled(*contrast_views(z, z, 0.5)).item()
    assert loss == pytest.approx(math.log(2 * batch_size - 2))


def test_it_is_nt_xent_without_the_right_column():
    first, second = views(4, 5)
    logits, pair = contrast_views(first, second, 0.2)
    right = logits[torch.arange(8), pair]
    nt_xent = (logits.logsumexp(1) - right).mean()
    # What NT-Xent has more in its sum.
    more = torch.log1p((right - decoupled_sum(logits, pair)).exp()).mean()
    torch.testing.assert_close(decoupled(logits, pair) + more, nt_xent)


def decoupled_sum(logits, pair):
    rest = [
        torch.stack([row[k] for k in range(len(row)) if k != right and not row[k].isinf()])
        for row, right in zip(logits, pair.tolist(), strict=True)
    ]
    return torch.stack([row.logsumexp(0) for row in rest])


def test_weights_are_one_in_the_mean_and_larger_for_unlike_pairs():
    cosines = torch.tensor([0.9, 0.1, 0.5, -0.3], dtype=torch.float64)
    weights = pair_weights(cosines, 0.5)
    assert weights.mean().item() == pytest.approx(1)
    assert weights.argsort(descending=True).tolist() == cosines.argsort().tolist()
    torch.testing.assert_close(pair_weights(cosines, 1e9), torch.ones_like(cosines))


def test_weights_carry_no_gradient():
    cosines = torch.tensor([0.9, 0.1], requires_grad=True)
    assert not pair_weights(cosines, 0.5).requires_grad


def test_pairs_of_other_processes_count_for_the_weights(monkeypatch):
    cosines = torch.tensor([0.9, 0.1, 0.5, -0.3])
    whole = pair_weights(cosines, 0.5)
    monkeypatch.setattr("lightly_methods.contrastive.dcl.gather", lambda x: cosines)
    monkeypatch.setattr("lightly_methods.contrastive.dcl.world_size", lambda: 2)
    for number in range(2):
        monkeypatch.setattr("lightly_methods.contrastive.dcl.rank", lambda number=number: number)
        torch.testing.assert_close(pair_weights(cosines[:2], 0.5), whole.chunk(2)[number])


@pytest.mark.parametrize("name", ["dcl", "dclw"])
def test_a_step_is_the_loss_of_the_two_projected_views(make_case, name):
    case = make_case(name, temperature=0.3)
    method, batch = case.build(), case.batch()
    result = method.training_step(batch, 0)
    features = method.model(torch.cat(batch.views))
    first, second = method.projector(features).chunk(2)
    weights = plain_weights(first, second, 0.5) if name == "dclw" else None
    torch.testing.assert_close(result.loss, plain_dcl(first, second, 0.3, weights))
    assert list(result.metrics) == ["contrast/top1"]
