import itertools
import math

import pytest
import torch

from lightly_dino.base import anchor_loss
from lightly_dino.features import Features
from lightly_dino.simdino import view_cosine
from lightly_dino.simdinov2 import patch_distance
from lightly_dino.targets import entropy


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cosine(a, b):
    return ((a * b).sum() / (a.norm() * b.norm())).item()


GRID = list(itertools.product([1, 2, 3], [0, 1, 4], [1, 3], [2, 5]))


@pytest.mark.parametrize(("num_global", "num_local", "batch_size", "dim"), GRID)
def test_view_cosine_is_the_mean_over_pairs_of_different_views(
    num_global, num_local, batch_size, dim
):
    if num_global == 1 and num_local == 0:
        return
    teacher = draw(num_global, batch_size, dim)
    student = draw(num_global + num_local, batch_size, dim, seed=1).requires_grad_()
    cosines = [
        cosine(teacher[t, b], student[s, b])
        for t in range(num_global)
        for s in range(num_global + num_local)
        if s != t
        for b in range(batch_size)
    ]
    result = view_cosine(teacher, student)
    assert result.item() == pytest.approx(sum(cosines) / len(cosines), rel=1e-9)


def test_view_cosine_of_equal_views_is_one():
    x = draw(2, 3, 4)[:1].expand(2, 3, 4)
    assert view_cosine(x, 5 * x).item() == pytest.approx(1.0)


def test_the_teacher_of_an_agreement_gets_no_gradient():
    teacher, student = draw(2, 3, 4).requires_grad_(), draw(2, 3, 4, seed=1).requires_grad_()
    view_cosine(teacher, student).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("num_images", [1, 4])
@pytest.mark.parametrize("num_rows", [0, 1, 5])
def test_patch_distance_is_the_weighted_sum_over_rows(num_rows, num_images):
    teacher, student = draw(num_rows, 3), draw(num_rows, 3, seed=1)
    weights = torch.rand(num_rows, dtype=torch.float64)
    expected = sum(
        float(weights[m]) * (1 - cosine(teacher[m], student[m])) for m in range(num_rows)
    )
    result = patch_distance(teacher, student, weights, num_images)
    assert result.item() == pytest.approx(expected / num_images)


@pytest.mark.parametrize("all_visible", [True, False])
def test_anchor_loss_is_one_minus_the_cosines(all_visible):
    pooled, before = draw(3, 4), draw(3, 4, seed=1)
    patches, patches_before = draw(3, 5, 4, seed=2), draw(3, 5, 4, seed=3)
    visible = torch.ones(3, 5, dtype=torch.bool)
    if not all_visible:
        visible[0, :4] = False
        visible[2, 1] = False
    expected = sum(1 - cosine(pooled[r], before[r]) for r in range(3)) / 3
    seen = [(r, n) for r in range(3) for n in range(5) if visible[r, n]]
    expected += sum(1 - cosine(patches[r, n], patches_before[r, n]) for r, n in seen) / len(seen)
    result = anchor_loss(
        Features(pooled, patches),
        Features(before, patches_before),
        None if all_visible else visible,
    )
    assert result.item() == pytest.approx(expected, rel=1e-9)


def test_anchor_loss_at_the_start_is_zero_and_so_is_its_gradient():
    pooled, patches = draw(3, 4).requires_grad_(), draw(3, 5, 4).requires_grad_()
    loss = anchor_loss(Features(pooled, patches), Features(pooled.detach(), patches.detach()))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert pooled.grad.abs().max() < 1e-12


@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_entropy_of_even_and_of_sure_targets(num_classes):
    even = torch.full((3, num_classes), 1 / num_classes)
    assert entropy(even).item() == pytest.approx(math.log(num_classes), abs=1e-6)
    assert entropy(torch.eye(num_classes)).item() == 0
