"""MSN and PMSN: losses, views, prototypes."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightly_core.contracts import Batch
from lightly_core.parts.cross_entropy import soft_cross_entropy
from lightly_methods.masked.msn import mean_probabilities, negative_entropy, sharp_targets
from lightly_methods.masked.pmsn import power_law_divergence

GRID = list(itertools.product([2, 5], [3, 8], [0.1, 0.5]))


def cosines(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1


@pytest.mark.parametrize(("batch_size", "num_prototypes", "temperature"), GRID)
@pytest.mark.parametrize("sharpen", [0.25, 1.0])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_targets_are_those_of_the_papers_code(
    plain_sinkhorn, batch_size, num_prototypes, temperature, sharpen, iterations
):
    scores = cosines(batch_size, num_prototypes)
    powers = torch.softmax(scores / temperature, dim=1) ** (1 / sharpen)
    expected = powers / powers.sum(dim=1, keepdim=True)
    if iterations:
        expected = plain_sinkhorn(expected, iterations)
    targets = sharp_targets(scores, temperature, sharpen, iterations)
    torch.testing.assert_close(targets, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "num_prototypes", "temperature"), GRID)
@pytest.mark.parametrize("num_anchors", [1, 3])
def test_the_mean_prediction_matches_the_plain_loop(
    batch_size, num_prototypes, temperature, num_anchors
):
    scores = cosines(num_anchors, batch_size, num_prototypes)
    means = [0.0] * num_prototypes
    for a in range(num_anchors):
        for b in range(batch_size):
            powers = [math.exp(s / temperature) for s in scores[a, b].tolist()]
            for k in range(num_prototypes):
                means[k] += powers[k] / sum(powers) / (num_anchors * batch_size)
    mean = mean_probabilities(scores, temperature)
    assert mean.tolist() == pytest.approx(means, rel=1e-9)
    entropy = -sum(m * math.log(m) for m in means)
    expected = math.log(num_prototypes) - entropy
    assert negative_entropy(mean).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 0.25, 2.0])
@pytest.mark.parametrize("num_prototypes", [2, 7])
def test_divergence_matches_the_plain_loop(exponent, num_prototypes):
    mean = torch.softmax(cosines(num_prototypes), dim=0)
    shares = [(k + 1) ** -exponent for k in range(num_prototypes)]
    prior = [share / sum(shares) for share in shares]
    expected = sum(
        q * (math.log(q) - math.log(p)) for q, p in zip(prior, mean.tolist(), strict=True)
    )
    loss = power_law_divergence(mean, exponent)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    at_prior = power_law_divergence(torch.tensor(prior, dtype=torch.float64), exponent)
    assert at_prior.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("num_prototypes", [2, 16])
def test_closed_forms(num_prototypes):
    uniform = torch.full((num_prototypes,), 1 / num_prototypes, dtype=torch.float64)
    one = torch.zeros(num_prototypes, dtype=torch.float64)
    one[0] = 1
    assert negative_entropy(uniform).item() == pytest.approx(0, abs=1e-12)
    assert negative_entropy(one).item() == pytest.approx(math.log(num_prototypes))
    targets = sharp_targets(torch.zeros(4, num_prototypes), 0.1, 0.25, 3)
    torch.testing.assert_close(targets, torch.full_like(targets, 1 / num_prototypes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_under_nor_overflows(dtype):
    scores = torch.eye(4).to(dtype).requires_grad_()
    targets = sharp_targets(scores, 0.01, 0.25, 3)
    loss = soft_cross_entropy(targets, -scores[None], 0.01).mean()
    loss = loss + negative_entropy(mean_probabilities(scores[None], 0.01))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", ["msn", "pmsn"])
def test_a_step_is_the_cross_entropy_of_all_anchors_and_the_regulariser(make_case, name):
    case = make_case(name, regularization_weight=2.0)
    method, batch = case.build(), case.batch()
    first, second, *local = batch.views

    def scores(model, head, images, **options):
        features = model.forward_tokens(images, **options)["cls_token"]
        directions = F.normalize(method.prototypes.weight, dim=1)
        return F.normalize(head(features), dim=1) @ directions.T / 0.1

    with torch.no_grad():
        whole = scores(method.teacher["backbone"], method.teacher["head"], first)
        targets = sharp_targets(0.1 * whole, 0.1, 0.25, 3)
        anchors = [scores(method.model, method.head, second, keep=batch.extras["keep"][:, 0])]
        anchors += [scores(method.model, method.head, view) for view in local]
    rows = [F.cross_entropy(anchor[b], targets[b]) for anchor in anchors for b in range(8)]
    mean = torch.cat(anchors).softmax(dim=1).mean(dim=0)
    result = method.training_step(batch, 0)
    cross_entropy = result.metrics["train_loss/cross_entropy"]
    torch.testing.assert_close(cross_entropy, torch.stack(rows).mean())
    regularization = method.regularization(mean)
    torch.testing.assert_close(result.loss.detach(), cross_entropy + 2 * regularization)


@pytest.mark.parametrize("name", ["msn", "pmsn"])
def test_prototypes_learn_and_are_not_decayed(make_case, name):
    case = make_case(name)
    method = case.build()
    method.training_step(case.batch(), 0).loss.backward()
    assert method.prototypes.weight.grad.abs().sum() > 0
    (group,) = [g for g in method.parameter_groups() if g.name == "prototypes"]
    assert not group.weight_decay
    assert [id(p) for p in group.parameters] == [id(method.prototypes.weight)]


def test_the_first_view_is_the_teachers_and_the_others_are_the_students(make_case):
    case = make_case("msn")
    method = case.build()
    # A teacher whose features do not depend on the image: its view has no influence then.
    batch = case.batch()
    loss = method.training_step(batch, 0).loss
    torch.nn.init.zeros_(method.teacher["head"][-1].weight)
    constant = method.training_step(batch, 0).loss
    assert constant != loss
    noise = torch.randn_like(batch.views[0])
    other = replace(batch, views=[noise, *batch.views[1:]])
    assert method.training_step(other, 0).loss == constant
    for place in range(1, len(batch.views)):
        views = list(batch.views)
        views[place] = torch.randn_like(views[place])
        assert method.training_step(replace(batch, views=views), 0).loss != constant


def test_targets_stay_with_their_image(make_case):
    """If the batch is turned around with all that belongs to it, nothing changes."""
    case = make_case("msn")
    method, batch = case.build(), case.batch()
    loss = method.training_step(batch, 0).loss
    views = [view.flip(0) for view in batch.views]
    extras = {name: extra.flip(0) for name, extra in batch.extras.items()}
    turned = replace(batch, views=views, extras=extras)
    torch.testing.assert_close(method.training_step(turned, 0).loss, loss)
    wrong = replace(batch, views=[batch.views[0].roll(1, 0), *batch.views[1:]])
    assert abs(method.training_step(wrong, 0).loss - loss) > 1e-6


def test_pmsn_with_exponent_zero_pulls_to_equal_use_too(make_case):
    case = make_case("pmsn", power_law_exponent=0.0)
    method, batch = case.build(), case.batch()
    metrics = method.training_step(batch, 0).metrics
    msn = make_case("msn")
    same = msn.build().training_step(batch, 0).metrics
    assert metrics["train_loss/cross_entropy"] == same["train_loss/cross_entropy"]
    assert metrics["train_loss/regularization"] >= 0


def test_more_global_views_are_more_anchors(make_case):
    case = make_case("msn")
    method = case.build(num_views=3)
    extras = method.sample_extras()
    keep = torch.stack([extras(np.random.default_rng(i))["keep"] for i in range(4)])
    views = list(torch.randn(3, 4, 3, 32, 32))
    result = method.training_step(Batch(views, torch.arange(4), {"keep": keep}), 0)
    assert result.loss.isfinite()
