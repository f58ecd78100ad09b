"""SimSiam, FastSiam and BYOL: losses, and where gradients go."""

import itertools
import math

import pytest
import torch

from lightly_core.contracts import Batch
from lightly_core.testing.models import TinyConv
from lightly_methods.siamese.byol import byol_loss
from lightly_methods.siamese.byol_config import BYOLConfig
from lightly_methods.siamese.fastsiam_config import FastSiamConfig
from lightly_methods.siamese.simsiam import siamese_loss
from lightly_methods.siamese.simsiam_config import SimSiamConfig

NAMES = ["simsiam", "fastsiam", "byol"]
GRID = list(itertools.product([1, 4], [2, 5]))


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cosine(first, second):
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / math.hypot(*first) / math.hypot(*second)


@pytest.fixture
def case(make_case):
    return lambda name, **changes: make_case(name, wrapper=TinyConv, **changes)


# --------------------------------------------------------------------------- losses


@pytest.mark.parametrize(("batch_size", "width"), GRID)
@pytest.mark.parametrize("num_views", [2, 3, 4])
def test_siamese_loss_matches_the_plain_loop(batch_size, width, num_views):
    predictions = normal(num_views, batch_size, width, seed=1)
    projections = normal(num_views, batch_size, width, seed=2)
    total = 0.0
    for v, b in itertools.product(range(num_views), range(batch_size)):
        others = [projections[w, b].tolist() for w in range(num_views) if w != v]
        mean = [sum(values) / len(others) for values in zip(*others, strict=True)]
        total -= cosine(predictions[v, b].tolist(), mean)
    loss = siamese_loss(list(predictions), list(projections))
    assert loss.item() == pytest.approx(total / (num_views * batch_size), rel=1e-9)


def test_with_two_views_it_is_the_loss_of_simsiam():
    (p1, p2), (z1, z2) = normal(2, 6, 5, seed=1), normal(2, 6, 5, seed=2)

    def distance(p, z):
        return -torch.cosine_similarity(p, z).mean()

    expected = distance(p1, z2) / 2 + distance(p2, z1) / 2
    torch.testing.assert_close(siamese_loss([p1, p2], [z1, z2]), expected)


@pytest.mark.parametrize(("batch_size", "width"), GRID)
@pytest.mark.parametrize(("num_student", "num_teacher"), [(2, 2), (4, 2), (3, 3)])
def test_byol_loss_matches_the_plain_loop(batch_size, width, num_student, num_teacher):
    predictions = normal(num_student, batch_size, width, seed=1)
    targets = normal(num_teacher, batch_size, width, seed=2)
    distances = [
        2 - 2 * cosine(predictions[s, b].tolist(), targets[t, b].tolist())
        for s, t in itertools.product(range(num_student), range(num_teacher))
        for b in range(batch_size)
        if s != t
    ]
    expected = 2 * sum(distances) / len(distances)
    loss = byol_loss(list(predictions), list(targets))
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_with_two_views_it_is_the_papers_sum_of_squared_distances():
    (q1, q2), (z1, z2) = normal(2, 6, 5, seed=1), normal(2, 6, 5, seed=2)

    def distance(q, z):
        q, z = (x / x.norm(dim=1, keepdim=True) for x in (q, z))
        return (q - z).square().sum(dim=1).mean()

    expected = distance(q1, z2) + distance(q2, z1)
    torch.testing.assert_close(byol_loss([q1, q2], [z1, z2]), expected)


@pytest.mark.parametrize("num_views", [2, 4])
def test_closed_forms(num_views):
    same = [normal(3, 4)] * num_views
    assert siamese_loss(same, same).item() == pytest.approx(-1)
    assert siamese_loss(same, [-5 * z for z in same]).item() == pytest.approx(1)
    assert byol_loss(same, same).item() == pytest.approx(0, abs=1e-12)
    assert byol_loss(same, [-5 * z for z in same]).item() == pytest.approx(8)


@pytest.mark.parametrize("loss", [siamese_loss, byol_loss])
def test_targets_get_no_gradient(loss):
    predictions = [x.requires_grad_() for x in normal(2, 3, 4, seed=1)]
    targets = [x.requires_grad_() for x in normal(2, 3, 4, seed=2)]
    loss(predictions, targets).backward()
    assert all(x.grad.abs().sum() > 0 for x in predictions)
    assert all(x.grad is None for x in targets)


@pytest.mark.parametrize("loss", [siamese_loss, byol_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_single_loss(loss, dtype):
    x = [(100 * one).to(dtype).requires_grad_() for one in normal(2, 3, 64)]
    value = loss(x, x[::-1])
    value.backward()
    assert value.dtype == torch.float32
    assert x[0].grad.isfinite().all()


# --------------------------------------------------------------------------- methods


@pytest.mark.parametrize("name", ["simsiam", "fastsiam"])
def test_everything_is_decayed_and_the_predictor_keeps_its_rate(case, name):
    method = case(name).build()
    groups = {group.name: group for group in method.parameter_groups()}
    assert all(group.weight_decay is True for group in groups.values())
    assert groups["predictor"].constant_lr
    assert not groups["decayed"].constant_lr
    predictor = {id(p) for p in method.predictor.parameters()}
    assert {id(p) for p in groups["predictor"].parameters} == predictor
    assert len(groups["decayed"].parameters) + len(predictor) == len(list(method.parameters()))


@pytest.mark.parametrize("name", ["simsiam", "fastsiam"])
def test_the_predictor_may_follow_the_schedule_too(case, name):
    groups = case(name, predictor_lr="scheduled").build().parameter_groups()
    assert [group.constant_lr for group in groups] == [False, False]


def test_byol_decays_no_biases_and_norms(case):
    groups = {group.name: group for group in case("byol").build().parameter_groups()}
    assert set(groups) == {"decayed", "not_decayed"}
    assert all(p.ndim > 1 for p in groups["decayed"].parameters)


@pytest.mark.parametrize("name", NAMES)
def test_every_trainable_parameter_gets_a_gradient(case, name):
    one = case(name)
    method = one.build()
    method.training_step(one.batch(), 0).loss.backward()
    for key, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key


def test_fastsiam_with_two_views_is_simsiam(case):
    batch = case("simsiam").batch()
    first = case("simsiam").build().training_step(batch, 0)
    second = case("fastsiam").build(num_views=2).training_step(batch, 0)
    assert first.loss == second.loss


@pytest.mark.parametrize("name", NAMES)
def test_projection_std_is_large_in_untrained_networks_and_0_for_equal_images(case, name):
    one = case(name)
    batch, method = one.batch(), one.build()
    assert 0.3 < method.training_step(batch, 0).metrics["projection/std"] <= 1
    views = [view[:1].expand_as(view) for view in batch.views]
    equal = method.training_step(Batch(views, batch.indices), 0)
    assert equal.metrics["projection/std"] < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_every_view_takes_part(case, name):
    one = case(name)
    method, batch = one.build(), one.batch()
    loss = method.training_step(batch, 0).loss
    for place in range(len(batch.views)):
        views = list(batch.views)
        views[place] = torch.randn_like(views[place])
        assert method.training_step(Batch(views, batch.indices), 0).loss != loss


def test_byols_teacher_sees_global_views_only(case):
    method = case("byol").build()
    seen = []
    backbone = method.teacher["backbone"]
    backbone.get_model().register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
    views = [*torch.randn(2, 8, 3, 32, 32), *torch.randn(3, 8, 3, 16, 16)]
    loss = method.training_step(Batch(views, torch.arange(8), num_global=2), 0).loss
    loss.backward()
    assert seen == [32, 32]
    views[-1] = torch.randn(8, 3, 16, 16)
    assert method.training_step(Batch(views, torch.arange(8), num_global=2), 0).loss != loss


@pytest.mark.parametrize(("choice", "teacher"), [("student", False), ("teacher", True)])
def test_byol_exports_what_is_chosen(case, choice, teacher):
    method = case("byol", export=choice).build()
    assert (method.exported_wrapper() is method.teacher["backbone"]) == teacher
    assert BYOLConfig().export == "student"


def test_byols_teacher_averages_backbone_and_projector_and_keeps_its_own_statistics(case):
    method = case("byol", momentum_start=0.5, momentum_end=0.5).build()
    pairs = [(method.model, "backbone"), (method.projector, "projector")]
    before = [[p.clone() for p in method.teacher[name].parameters()] for _, name in pairs]
    with torch.no_grad():
        for module, _ in pairs:
            for tensor in (*module.parameters(), *module.buffers()):
                tensor += 1
    method.after_step(1)
    for (module, name), old in zip(pairs, before, strict=True):
        teacher = method.teacher[name]
        for new, p, o in zip(teacher.parameters(), module.parameters(), old, strict=True):
            torch.testing.assert_close(new, (p + o) / 2)
        for own, other in zip(teacher.buffers(), module.buffers(), strict=True):
            assert (own + 1 == other).all()


def test_defaults_are_those_of_the_papers():
    sgd = SimSiamConfig.default_optimizer("sgd")
    assert (sgd.lr, sgd.weight_decay, sgd.warmup_epochs) == (0.05, 1e-4, 0)
    assert SimSiamConfig.requires.global_views == (2, 2)
    assert FastSiamConfig.default_transform().num_views == 4
    assert FastSiamConfig.default_optimizer("sgd") == sgd
    lars = BYOLConfig.default_optimizer("lars")
    assert (lars.lr, lars.weight_decay) == (0.45, 1e-6)
    first, second = BYOLConfig.default_transform().view_specs()
    assert (first.gaussian_blur.prob, second.gaussian_blur.prob) == (1.0, 0.1)
    assert (first.solarize, second.solarize.prob) == (None, 0.2)
