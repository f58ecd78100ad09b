"""ReSA: targets, loss, views."""

import itertools
import math

import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.testing.models import TinyConv
from lightly_methods.siamese.resa import assignment_loss, self_assignment
from lightly_methods.siamese.resa_config import ReSAConfig


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cosines(rows, columns):
    return [
        [
            sum(a * b for a, b in zip(row, column, strict=True))
            / (math.hypot(*row) * math.hypot(*column))
            for column in columns.tolist()
        ]
        for row in rows.tolist()
    ]


@pytest.fixture
def case(make_case):
    return lambda **changes: make_case("resa", wrapper=TinyConv, **changes)


@pytest.mark.parametrize(("size", "width"), list(itertools.product([2, 5], [3, 8])))
@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("iterations", [1, 3])
def test_assignments_are_those_of_the_papers_code(
    plain_sinkhorn, size, width, temperature, iterations
):
    features, keys = normal(size, width, seed=1), normal(size, width, seed=2)
    scores = torch.tensor(cosines(features, keys), dtype=torch.float64)
    expected = plain_sinkhorn((scores / temperature).exp(), iterations)
    found = self_assignment(features, keys, temperature, iterations)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "total", "width"), [(2, 2, 3), (3, 6, 5)])
@pytest.mark.parametrize("num_views", [2, 4])
@pytest.mark.parametrize("temperature", [0.1, 0.4])
def test_loss_matches_the_plain_loop(batch_size, total, width, num_views, temperature):
    assignment = torch.softmax(normal(batch_size, total), dim=1)
    embeddings = normal(num_views, batch_size, width, seed=1)
    targets = normal(2, total, width, seed=2)
    losses = []
    for s, t in itertools.product(range(num_views), range(2)):
        if s == t:
            continue
        for b, row in enumerate(cosines(embeddings[s], targets[t])):
            powers = [math.exp(c / temperature) for c in row]
            losses.append(
                -sum(
                    assignment[b, n].item() * math.log(p / sum(powers))
                    for n, p in enumerate(powers)
                )
            )
    loss = assignment_loss(assignment, list(embeddings), list(targets), temperature)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)


@pytest.mark.parametrize("size", [2, 16])
def test_closed_forms(size):
    equal = torch.ones(size, 4)
    even = self_assignment(equal, equal, 0.05, 3)
    torch.testing.assert_close(even, torch.full((size, size), 1 / size))
    chance = assignment_loss(even, [equal, equal], [equal, equal], 0.4)
    assert chance.item() == pytest.approx(math.log(size), rel=1e-6)
    apart = torch.eye(size)
    torch.testing.assert_close(self_assignment(apart, apart, 0.01, 3), apart)
    assert assignment_loss(apart, [apart] * 2, [apart] * 2, 0.01).item() == pytest.approx(0)


def test_gradient_reaches_the_embeddings_only():
    features, keys = normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    embeddings = [x.requires_grad_() for x in normal(2, 4, 5, seed=2)]
    targets = [x.requires_grad_() for x in normal(2, 4, 5, seed=3)]
    assignment = self_assignment(features, keys, 0.05, 3)
    assert not assignment.requires_grad
    assignment_loss(assignment, embeddings, targets, 0.4).backward()
    assert all(x.grad.abs().sum() > 0 for x in embeddings)
    assert all(x.grad is None for x in (features, keys, *targets))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype):
    x = torch.eye(4).to(dtype).requires_grad_()
    loss = assignment_loss(self_assignment(x, x, 0.01, 3), [x, x], [x, x], 0.01)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert x.grad.isfinite().all()


# --------------------------------------------------------------------------- method


def test_the_first_view_is_weak_and_the_second_strong():
    weak, strong = ReSAConfig.default_transform().view_specs()
    assert (weak.color_jitter, weak.random_gray_scale, weak.gaussian_blur, weak.solarize) == (
        *(None, None, None, None),
    )
    assert weak.random_resize == strong.random_resize
    assert weak.random_resize.min_scale == 0.2
    jitter = strong.color_jitter
    widths = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue]
    assert [round(jitter.strength * width, 9) for width in widths] == [0.4, 0.4, 0.2, 0.1]
    assert (jitter.prob, strong.random_gray_scale) == (0.8, 0.2)
    assert (strong.gaussian_blur.prob, strong.solarize.prob) == (0.5, 0.2)


def test_targets_come_from_features_of_the_first_view_not_from_projections(case):
    """A projector that makes all alike leaves the targets as they are; a backbone does not."""
    one = case()
    method, batch = one.build(), one.batch()
    own = method.training_step(batch, 0).metrics["assignment/own"]
    assert 1 / 8 < own <= 1
    views = [batch.views[0], torch.randn_like(batch.views[1])]
    assert method.training_step(Batch(views, batch.indices), 0).metrics["assignment/own"] == own
    with torch.no_grad():
        for parameter in method.projector.parameters():
            parameter.zero_()
        for parameter in method.teacher["projector"].parameters():
            parameter.zero_()
    assert method.training_step(batch, 0).metrics["assignment/own"] == own
    views = [batch.views[0][:1].expand_as(batch.views[0]), batch.views[1]]
    even = method.training_step(Batch(views, batch.indices), 0).metrics["assignment/own"]
    assert even.item() == pytest.approx(1 / 8, abs=1e-3)


def test_without_predictor_projections_are_compared(case):
    one = case(predictor=False)
    method = one.build()
    assert not list(method.predictor.parameters())
    method.training_step(one.batch(), 0).loss.backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_everything_is_decayed(case):
    (group,) = case().build().parameter_groups()
    assert group.weight_decay is True


def test_local_views_go_through_the_student_only(case):
    method = case().build()
    seen = []
    backbone = method.teacher["backbone"]
    backbone.get_model().register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    views = [*torch.randn(2, 8, 3, 32, 32), *torch.randn(2, 8, 3, 16, 16)]
    loss = method.training_step(Batch(views, torch.arange(8), num_global=2), 0).loss
    assert seen == [32, 32]
    views[-1] = torch.randn(8, 3, 16, 16)
    assert method.training_step(Batch(views, torch.arange(8), num_global=2), 0).loss != loss
