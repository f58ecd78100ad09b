"""SwAV: codes, queues, prototypes."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lightly_core.config.options.method import RunFacts
from lightly_core.testing.models import TinyConv
from lightly_methods.clustering.swav_config import SwAVConfig, SwAVQueueConfig


def double(batch):
    return replace(batch, views=[view.double() for view in batch.views])


@pytest.fixture
def built(make_case):
    """Return a method in float64 and its batch, with prototypes that are not frozen."""

    def build(name, **changes):
        case = make_case(name, wrapper=TinyConv, freeze_prototypes_steps=0, **changes)
        return case.build().double(), double(case.batch())

    return build


def projections_of(method, views):
    """Return (B, P) of each view: global views in one pass, local ones in one, all in the head."""
    if not method.config.views_together:
        alone = [method.projector(method.pool(view)) for view in views]
        return [F.normalize(rows, dim=1) for rows in alone]
    pooled = [method.pool(torch.cat(group)) for group in (views[:2], views[2:])]
    return list(F.normalize(method.projector(torch.cat(pooled)), dim=1).chunk(len(views)))


def plain_loss(method, views, queues, plain_sinkhorn):
    config, projections = method.config, projections_of(method, views)
    total = 0.0
    for i in range(2):
        rows = torch.cat([projections[i], queues[i]])
        scores = (rows @ method.prototypes.weight.T / config.epsilon).exp().detach()
        codes = plain_sinkhorn(scores, config.sinkhorn_iterations)[: len(projections[i])]
        for v in range(len(views)):
            if v != i:
                logits = projections[v] @ method.prototypes.weight.T / config.temperature
                total = total - (codes * logits.log_softmax(dim=1)).sum(dim=1).mean()
    return total / (2 * (len(views) - 1))


@pytest.mark.parametrize(
    ("temperature", "epsilon", "iterations"),
    list(itertools.product([0.1, 0.5], [0.05, 0.2], [1, 3])),
)
@pytest.mark.parametrize("name", ["swav", "swavqueue"])
def test_loss_and_gradient_match_the_plain_form(
    built, plain_sinkhorn, name, temperature, epsilon, iterations
):
    method, batch = built(
        name, temperature=temperature, epsilon=epsilon, sinkhorn_iterations=iterations
    )
    queues = [torch.empty(0, 16).double()] * 2
    if name == "swavqueue":
        for _ in range(2):
            method.training_step(batch, 0)
        queues = [queue.rows().double().clone() for queue in method.queues]
        # Rows are compared with the prototypes of this step, not with those of their own.
        torch.nn.init.normal_(method.prototypes.weight)
        method.prototypes.normalize_weight()
    loss = method.training_step(batch, 0).loss
    expected = plain_loss(method, batch.views, queues, plain_sinkhorn)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    weights = [method.prototypes.weight, method.projector[0].weight]
    found = torch.autograd.grad(loss, weights)
    for gradient, wanted in zip(found, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_views_pass_one_by_one_where_they_are_asked_to(built, plain_sinkhorn):
    method, batch = built("swav", views_together=False)
    local = [view[:, :, :16, :16] + i for i, view in enumerate(batch.views)]
    views = [*batch.views, *local]
    result = method.training_step(replace(batch, views=views), 0)
    dim = method.config.output_dim
    none = [torch.empty(0, dim, dtype=torch.float64)] * 2
    expected = plain_loss(method, views, none, plain_sinkhorn)
    torch.testing.assert_close(result.loss, expected)
    other, _ = built("swav")
    loss = other.training_step(replace(batch, views=views), 0).loss
    assert not torch.allclose(loss, expected)


@pytest.mark.parametrize("num_prototypes", [4, 12])
def test_equal_cosines_give_the_chance_level(built, num_prototypes):
    method, batch = built("swav", num_prototypes=num_prototypes)
    torch.nn.init.zeros_(method.prototypes.weight)
    result = method.training_step(batch, 0)
    assert result.loss.item() == pytest.approx(math.log(num_prototypes))
    assert result.metrics["codes/entropy"].item() == pytest.approx(math.log(num_prototypes))


def test_each_global_view_has_a_queue_of_its_own_projections(built):
    method, batch = built("swavqueue", queue_size=16)
    other = replace(batch, views=[view.flip(0) + 0.1 for view in batch.views])
    expected = [[], []]
    for one in (batch, other):
        for rows, projections in zip(expected, projections_of(method, one.views)[:2], strict=True):
            rows.append(projections)
        method.training_step(one, 0)
    for queue, rows in zip(method.queues, expected, strict=True):
        torch.testing.assert_close(queue.rows(), torch.cat(rows).float(), check_dtype=True)


def test_the_queue_is_used_from_its_start_on_and_only_when_it_is_full(built, plain_sinkhorn):
    none = [torch.empty(0, 16).double()] * 2
    method, batch = built("swavqueue", queue_size=16, queue_start=5)

    def without_queue(step):
        expected = plain_loss(method, batch.views, none, plain_sinkhorn).item()
        return method.training_step(batch, step).loss.item() == pytest.approx(expected, rel=1e-9)

    # Other images: those of the batch once more would not change its share.
    other = replace(batch, views=[view.flip(0) ** 2 for view in batch.views])
    assert without_queue(9)  # empty
    method.training_step(other, 0)
    assert len(method.queues[0]) == 16
    assert without_queue(4)  # full, but too early
    assert not without_queue(5)


def test_prototypes_stay_on_the_sphere_and_have_no_bias(built):
    method, batch = built("swav")
    assert [name for name, _ in method.prototypes.named_parameters()] == ["weight"]
    ones = torch.ones(12, dtype=torch.float64)
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), ones, rtol=1e-6, atol=0)
    method.training_step(batch, 0).loss.backward()
    with torch.no_grad():
        method.prototypes.weight -= method.prototypes.weight.grad
        assert not torch.allclose(method.prototypes.weight.norm(dim=1), ones)
        method.after_step(1)
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), ones)


def test_prototypes_are_frozen_in_the_first_steps(make_case):
    case = make_case("swav", freeze_prototypes_steps=3)
    method = case.build()
    for step, trained in ((0, False), (2, False), (3, True)):
        method.zero_grad()
        method.training_step(case.batch(), step).loss.backward()
        method.before_step(step)
        assert (method.prototypes.weight.grad is not None) == trained
        assert method.projector[0].weight.grad is not None


@pytest.mark.parametrize(
    ("images", "prototypes", "queue"),
    [(100, 64, 256), (9_000, 900, 900), (30_000, 3000, 3000), (1_281_167, 3000, 3840)],
)
def test_auto_follows_the_number_of_images(images, prototypes, queue):
    epoch = images // 256
    facts = RunFacts(images, 256, total_steps=200 * epoch, steps_per_epoch=epoch)
    config = SwAVQueueConfig().resolve(facts)
    assert config.num_prototypes == prototypes
    assert config.queue_size == queue
    assert config.freeze_prototypes_steps == min(epoch, 5005)
    assert config.queue_start == 15 * epoch
    assert SwAVConfig().resolve(facts).queue_size == 0


def test_short_runs_are_not_all_freezing_and_waiting():
    facts = RunFacts(10_000, 100, total_steps=300, steps_per_epoch=100)
    config = SwAVQueueConfig().resolve(facts)
    assert config.freeze_prototypes_steps == 15
    assert config.queue_start == 30


@pytest.mark.parametrize("name", ["swav", "swavqueue", "smog", "deepclusterv2"])
def test_half_precision_gives_a_finite_loss_in_single_precision(make_case, name):
    case = make_case(name, wrapper=TinyConv)
    method, batch = case.build(), case.batch()
    for step in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = method.training_step(batch, step).loss
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        with torch.no_grad():
            method.after_step(step + 1)
