"""SMoG: groups that move in each step and are replaced by k-means."""

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lightly_core.errors import ConfigError
from lightly_core.testing.models import TinyConv
from lightly_methods.clustering.smog import updated_groups


def directions(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def plain_groups(groups, vectors, momentum):
    nearest = [int(torch.stack([g @ v for g in groups]).argmax()) for v in vectors]
    result = []
    for k, group in enumerate(groups):
        own = [v for v, n in zip(vectors, nearest, strict=True) if n == k]
        if own:
            group = momentum * group + (1 - momentum) * sum(own) / len(own)
            group = group / group.norm()
        result.append(group)
    return torch.stack(result)


@pytest.fixture
def built(make_case):
    def build(**changes):
        case = make_case("smog", wrapper=TinyConv, **changes)
        batch = case.batch()
        views = [view.double() for view in batch.views]
        return case.build().double(), replace(batch, views=views)

    return build


@pytest.mark.parametrize(
    ("num_groups", "num_vectors", "momentum"),
    list(itertools.product([1, 4, 20], [1, 9], [0.0, 0.9, 0.99])),
)
def test_groups_and_gradient_match_the_plain_loop(num_groups, num_vectors, momentum):
    groups = directions(num_groups, 3)
    vectors = directions(num_vectors, 3, seed=1).requires_grad_()
    weights = directions(num_groups, 3, seed=2)
    found = updated_groups(groups, vectors, momentum)
    expected = plain_groups(groups, vectors, momentum)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((g * weights).sum(), vectors)[0] for g in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_groups_without_vectors_do_not_move():
    groups = torch.eye(3, dtype=torch.float64)
    moved = updated_groups(groups, directions(5, 3).abs() * torch.tensor([1.0, 1e-3, 1e-3]), 0.5)
    assert not moved[0].equal(groups[0])
    assert moved[1:].equal(groups[1:])
    assert updated_groups(groups, directions(5, 3), 1.0).equal(groups)


def plain_loss(method, views):
    config, groups = method.config, method.groups.clone()
    images = torch.cat(views)

    teacher = method.teacher
    own = method.projector(method.pool(images))
    seen = F.normalize(teacher["projector"](teacher.pool(images)), dim=1).chunk(2)
    groups_now = plain_groups(groups, F.normalize(own, dim=1), config.group_momentum)
    predictions = F.normalize(method.predictor(own), dim=1).chunk(2)
    total = 0.0
    for t, s in ((0, 1), (1, 0)):
        labels = (seen[t] @ groups.T).argmax(dim=1)  # groups of the step before
        logits = predictions[s] @ groups_now.T / config.temperature
        total = total + F.cross_entropy(logits, labels) / 2
    return total


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("group_momentum", [0.5, 0.99])
def test_loss_and_gradient_match_the_plain_form(built, temperature, group_momentum):
    method, batch = built(temperature=temperature, group_momentum=group_momentum)
    with torch.no_grad():  # A teacher that differs from the student.
        for parameter in method.teacher.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    expected = plain_loss(method, batch.views)
    loss = method.training_step(batch, 0).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    weights = [method.projector[0].weight, method.predictor[0].weight]
    wanted = torch.autograd.grad(expected, weights)
    for found, gradient in zip(torch.autograd.grad(loss, weights), wanted, strict=True):
        torch.testing.assert_close(found, gradient)


def test_groups_are_kept_and_only_the_student_gets_a_gradient(built):
    method, batch = built()
    before = method.groups.clone()
    method.training_step(batch, 0).loss.backward()
    assert not method.groups.equal(before)
    assert not method.groups.requires_grad
    assert "groups" not in dict(method.named_parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    # Nothing of an earlier step is in the graph of the next one.
    method.training_step(batch, 1).loss.backward()


def test_kmeans_finds_groups_anew_every_interval_once_the_bank_has_rows_enough(built):
    method, batch = built(num_groups=20, bank_size=32, reset_interval=2)
    method.training_step(batch, 0)  # 16 rows
    groups = method.groups.clone()
    method.after_step(2)
    assert method.groups.equal(groups)  # fewer rows than groups
    method.training_step(batch, 2)  # 32 rows
    groups = method.groups.clone()
    method.after_step(3)
    assert method.groups.equal(groups)  # not the time
    method.after_step(4)
    assert not method.groups.equal(groups)
    lengths = method.groups.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-6, atol=0)
    nearest = (method.bank.rows() @ method.groups.float().T).argmax(dim=1)
    assert len(nearest.unique()) > 8


def test_reset_can_be_switched_off(built):
    method, batch = built(reset_interval=0)
    for step in range(3):
        method.training_step(batch, step)
        groups = method.groups.clone()
        method.after_step(step + 1)
        assert method.groups.equal(groups)


def test_groups_begin_in_all_directions(make_case):
    groups = make_case("smog", num_groups=512, bank_size=512).build().groups
    assert groups.mean(dim=0).abs().max() < 0.05
    torch.testing.assert_close(groups.norm(dim=1), torch.ones(512))


def test_a_bank_smaller_than_the_groups_is_refused(make_case):
    with pytest.raises(ConfigError, match="bank_size=7 and num_groups=8"):
        make_case("smog", bank_size=7).build()


def test_the_student_is_exported_unless_told_otherwise(make_case):
    method = make_case("smog").build()
    assert method.exported_wrapper() is method.model
    method = make_case("smog", export="teacher").build()
    assert method.exported_wrapper() is method.teacher["backbone"]
