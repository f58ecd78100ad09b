import math

import pytest
import torch
import torch.nn.functional as F

from lightly_core.parts.contrast import (
    contrast_keys,
    contrast_negatives,
    contrast_views,
    negatives_from,
    top1,
)
from lightly_core.parts.cosine import unit
from lightly_core.parts.queue import FeatureQueue


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def cosine(a, b):
    return float(F.cosine_similarity(a, b, dim=0))


@pytest.fixture
def second_of_two(monkeypatch):
    """Be the second process; the first one has the same rows with the other sign."""
    for name in ("gather", "gather_with_gradient"):
        monkeypatch.setattr(f"lightly_core.parts.contrast.{name}", lambda x: torch.cat([-x, x]))
    monkeypatch.setattr("lightly_core.parts.contrast.rank", lambda: 1)


def test_views_point_at_the_other_view_and_never_at_themselves():
    first, second = draw(2, 3, 4)
    logits, pair = contrast_views(first, second, 0.5)
    assert pair.tolist() == [3, 4, 5, 0, 1, 2]
    assert torch.equal(torch.isinf(logits), torch.eye(6, dtype=torch.bool))
    torch.testing.assert_close(logits.diagonal(3), F.cosine_similarity(first, second) / 0.5)


def test_views_of_a_later_process_point_at_its_own_block(second_of_two):
    first, second = draw(2, 3, 4)
    logits, pair = contrast_views(first, second, 0.5)
    assert pair.tolist() == [9, 10, 11, 6, 7, 8]
    own = torch.eye(6, dtype=torch.bool)
    assert torch.equal(torch.isinf(logits), torch.cat([torch.zeros_like(own), own], dim=1))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_keys_are_compared_one_by_one(temperature):
    queries, keys = draw(4, 5), draw(4, 5, seed=1)
    logits, target = contrast_keys(queries, keys, temperature, key_gradient=False)
    for i in range(4):
        for j in range(4):
            expected = cosine(queries[i], keys[j]) / temperature
            assert logits[i, j].item() == pytest.approx(expected)
    assert target.tolist() == [0, 1, 2, 3]


def test_keys_of_a_later_process_are_behind_those_of_the_first(second_of_two):
    queries, keys = draw(3, 5), draw(3, 5, seed=1)
    logits, target = contrast_keys(queries, keys, 0.5, key_gradient=True)
    assert target.tolist() == [3, 4, 5]
    torch.testing.assert_close(logits[:, :3], -logits[:, 3:])


@pytest.mark.parametrize("key_gradient", [True, False])
def test_gradient_reaches_keys_only_if_asked(key_gradient):
    queries, keys = draw(3, 5).requires_grad_(), draw(3, 5, seed=1).requires_grad_()
    logits, target = contrast_keys(queries, keys, 0.5, key_gradient=key_gradient)
    F.cross_entropy(logits, target).backward()
    assert queries.grad.abs().sum() > 0
    assert (keys.grad is not None) == key_gradient


@pytest.mark.parametrize("own", [None, [1, 0, 1]])
@pytest.mark.parametrize("num_negatives", [2, 6])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_negatives_are_compared_one_by_one(own, num_negatives, temperature):
    queries, positives = draw(3, 5), draw(3, 5, seed=1)
    negatives = unit(draw(num_negatives, 5, seed=2))
    excluded = None if own is None else torch.tensor(own)
    logits, target = contrast_negatives(queries, positives, negatives, temperature, excluded)
    loss = F.cross_entropy(logits, target)
    expected = 0.0
    for i in range(3):
        right = math.exp(cosine(queries[i], positives[i]) / temperature)
        wrong = sum(
            math.exp(cosine(queries[i], negatives[n]) / temperature)
            for n in range(num_negatives)
            if own is None or own[i] != n
        )
        expected -= math.log(right / (right + wrong)) / 3
    assert loss.item() == pytest.approx(expected)


def test_equal_vectors_give_the_chance_level():
    one = torch.ones(2, 4)
    loss = F.cross_entropy(*contrast_negatives(one, one, unit(torch.ones(7, 4)), 0.2))
    assert loss.item() == pytest.approx(math.log(8))
    loss = F.cross_entropy(*contrast_keys(one, one, 0.2, key_gradient=False))
    assert loss.item() == pytest.approx(math.log(2))


def test_positives_and_negatives_get_no_gradient():
    queries, positives, negatives = (draw(3, 5, seed=s).requires_grad_() for s in range(3))
    F.cross_entropy(*contrast_negatives(queries, positives, negatives, 0.5)).backward()
    assert queries.grad.abs().sum() > 0
    assert positives.grad is None
    assert negatives.grad is None


def test_an_empty_queue_is_replaced_by_the_batch():
    keys = draw(3, 5)
    negatives, own = negatives_from(FeatureQueue(4, 5), keys)
    torch.testing.assert_close(negatives, F.normalize(keys, dim=1))
    assert own.tolist() == [0, 1, 2]


def test_the_batch_of_all_processes_replaces_an_empty_queue(second_of_two):
    negatives, own = negatives_from(FeatureQueue(4, 5), draw(3, 5))
    assert negatives.shape == (6, 5)
    assert own.tolist() == [3, 4, 5]


def test_a_queue_with_rows_is_taken_as_it_is():
    queue = FeatureQueue(4, 5)
    queue.push(draw(2, 5, dtype=torch.float32))
    negatives, own = negatives_from(queue, draw(3, 5))
    assert torch.equal(negatives, queue.rows())
    assert own is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_single_precision(dtype):
    queries, keys = draw(3, 5, dtype=dtype), draw(3, 5, seed=1, dtype=dtype)
    negatives = unit(draw(4, 5, seed=2, dtype=torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [
            contrast_views(queries, keys, 0.1)[0],
            contrast_keys(queries, keys, 0.1, key_gradient=False)[0],
            contrast_negatives(queries, keys, negatives, 0.1)[0],
        ]
    queries, keys = queries.float(), keys.float()
    expected = [
        contrast_views(queries, keys, 0.1)[0],
        contrast_keys(queries, keys, 0.1, key_gradient=False)[0],
        contrast_negatives(queries, keys, negatives, 0.1)[0],
    ]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_top1_counts_rows_whose_largest_logit_is_right():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 5.0]], requires_grad=True)
    share = top1(logits, torch.tensor([1, 0, 0]))
    assert share.item() == pytest.approx(2 / 3)
    assert not share.requires_grad


def test_zeros_have_a_finite_gradient():
    queries = torch.zeros(2, 3, requires_grad=True)
    F.cross_entropy(*contrast_keys(queries, torch.eye(2, 3), 0.1, key_gradient=False)).backward()
    assert queries.grad.isfinite().all()
