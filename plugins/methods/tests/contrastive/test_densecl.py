import math

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.testing import TinyTokens
from lightly_methods.contrastive.densecl import matches, take


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def densecl(make_case):
    """A method without batch norm, and its batch."""

    def make(**changes):
        case = make_case("densecl", wrapper=TinyTokens, temperature=0.3, **changes)
        return case.build(), case.batch()

    return make


def cosine(a, b):
    return float(F.cosine_similarity(a, b, dim=0))


@pytest.mark.parametrize(("num_queries", "num_keys"), [(1, 4), (4, 4), (6, 3)])
def test_matches_are_the_most_similar_positions(num_queries, num_keys):
    queries, keys = draw(3, num_queries, 5), draw(3, num_keys, 5, seed=1)
    found = matches(queries, keys)
    for b in range(3):
        for s in range(num_queries):
            similarities = [cosine(queries[b, s], keys[b, t]) for t in range(num_keys)]
            assert found[b, s] == similarities.index(max(similarities))


def test_a_shifted_map_is_matched_with_its_shift():
    features = draw(2, 6, 5)
    shifted = features.roll(2, 1)
    match = matches(features, shifted)
    assert match.tolist() == [[2, 3, 4, 5, 0, 1]] * 2
    assert torch.equal(take(shifted, match), features)


def test_matching_ignores_lengths_and_has_no_gradient():
    queries, keys = draw(2, 4, 5).requires_grad_(), draw(2, 4, 5, seed=1)
    lengths = torch.tensor([0.1, 1.0, 5.0, 100.0], dtype=torch.float64)[:, None]
    assert torch.equal(matches(queries, keys), matches(queries, keys * lengths))
    assert not matches(queries, keys).requires_grad


def plain_dense_loss(query, key, negatives_of, temperature=0.3):
    """One position at a time."""
    losses = []
    for b in range(len(query["dense"])):
        for s in range(query["dense"].shape[1]):
            similarities = [
                cosine(query["features"][b, s], feature) for feature in key["features"][b]
            ]
            match = similarities.index(max(similarities))
            row = query["dense"][b, s]
            right = math.exp(cosine(row, key["dense"][b, match]) / temperature)
            wrong = sum(math.exp(cosine(row, other) / temperature) for other in negatives_of(b))
            losses.append(-math.log(right / (right + wrong)))
    return sum(losses) / len(losses)


def encoded(method, batch):
    with torch.no_grad():
        query = method.encode(method.model, method.projectors, batch.views[0])
        teacher = method.teacher
        key = method.encode(teacher.backbone, teacher["projectors"], batch.views[1])
    return query, key


def step(method, batch, number):
    method.zero_grad()
    result = method.training_step(batch, number)
    result.loss.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
        method.after_step(number + 1)
    return result


def test_the_first_step_compares_with_the_other_images_mean_positions(densecl):
    method, batch = densecl()
    query, key = encoded(method, batch)
    means = key["dense"].mean(dim=1)
    expected = plain_dense_loss(query, key, lambda b: [m for i, m in enumerate(means) if i != b])
    metrics = method.training_step(batch, 0).metrics
    assert metrics["train_loss/dense"].item() == pytest.approx(expected, rel=1e-4)


def test_later_steps_compare_with_the_queue_of_mean_positions(densecl):
    method, batch = densecl()
    _, key = encoded(method, batch)
    step(method, batch, 0)
    rows = method.queue("dense").rows().clone()
    torch.testing.assert_close(rows, F.normalize(key["dense"].mean(dim=1), dim=1))
    query, key = encoded(method, batch)
    expected = plain_dense_loss(query, key, lambda b: rows)
    metrics = method.training_step(batch, 1).metrics
    assert metrics["train_loss/dense"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_both_losses_are_weighed(densecl, weight):
    method, batch = densecl(dense_weight=weight)
    result = method.training_step(batch, 0)
    image, dense = (result.metrics[f"train_loss/{part}"] for part in ("image", "dense"))
    torch.testing.assert_close(result.loss.detach(), (1 - weight) * image + weight * dense)
    result.loss.backward()
    student = [p for module in method.student().values() for p in module.parameters()]
    assert all(p.grad is not None for p in student)


def test_keys_come_from_the_key_encoder(densecl):
    method, batch = densecl()
    method.training_step(batch, 0).loss.backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    assert set(method.teacher["projectors"]) == {"image", "dense"}


def test_both_projectors_are_apart(densecl):
    method, _ = densecl()
    first, second = method.projectors["image"], method.projectors["dense"]
    assert not torch.equal(first[0].weight, second[0].weight)


@pytest.mark.parametrize(("grid_size", "positions"), [(2, 4), (3, 9), (7, 16)])
def test_large_maps_are_averaged_down(densecl, grid_size, positions):
    method, batch = densecl(grid_size=grid_size)
    query = method.encode(method.model, method.projectors, batch.views[0])
    assert query["features"].shape == (8, positions, 16)
    assert query["dense"].shape == (8, positions, 16)
    if grid_size == 2:
        whole = method.model.forward_features(batch.views[0])["features"]
        torch.testing.assert_close(query["features"][:, 0], whole[:, :, :2, :2].mean((2, 3)))


def test_a_single_position_is_refused(make_case):
    case = make_case("densecl", image_size=8)
    with pytest.raises(ConfigError, match="feature map of 1 x 1 positions"):
        case.build().training_step(case.batch(), 0)
