import math

import pytest
import torch

from lightly_core.parts.multicrop import dino_loss, forward_by_size, pair_cross_entropies


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def views_of_two_sizes():
    sizes = [8, 4, 8, 4, 4]
    return [draw(3, 2, size, size, seed=seed) for seed, size in enumerate(sizes)]


class Pooling:
    """Means over pixels; notes what it is given."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        self.shapes.append(tuple(x.shape))
        return x.mean(dim=(2, 3))


def test_there_is_one_pass_for_each_size_and_the_order_is_kept():
    views, function = views_of_two_sizes(), Pooling()
    results = forward_by_size(function, views)
    assert function.shapes == [(6, 2, 8, 8), (9, 2, 4, 4)]
    for view, result in zip(views, results, strict=True):
        torch.testing.assert_close(result, view.mean(dim=(2, 3)))


def test_several_tensors_by_name_are_split_alike():
    views = views_of_two_sizes()
    results = forward_by_size(lambda x: {"mean": x.mean(dim=(2, 3)), "map": x}, views)
    for view, result in zip(views, results, strict=True):
        torch.testing.assert_close(result["mean"], view.mean(dim=(2, 3)))
        torch.testing.assert_close(result["map"], view)


def test_views_may_have_other_numbers_of_images():
    views = [draw(2, 1, 4, 4), draw(5, 1, 4, 4)]
    assert [len(result) for result in forward_by_size(Pooling(), views)] == [2, 5]


def test_a_single_view_is_passed_on_without_a_copy():
    seen = []
    view = draw(2, 1, 4, 4)
    forward_by_size(lambda x: seen.append(x) or x, [view])
    assert seen[0] is view


def test_no_views_give_no_results():
    assert forward_by_size(Pooling(), []) == []


def test_a_function_that_loses_rows_is_found_out():
    with pytest.raises(ValueError, match="expected 6 rows, the function returned 1"):
        forward_by_size(lambda x: x[:1], [draw(3, 1, 4, 4), draw(3, 1, 4, 4)])


def test_the_gradient_arrives_at_every_view():
    views = [view.requires_grad_() for view in views_of_two_sizes()]
    sum(result.sum() for result in forward_by_size(Pooling(), views)).backward()
    for view in views:
        expected = torch.full_like(view, 1 / (view.shape[2] * view.shape[3]))
        torch.testing.assert_close(view.grad, expected)


def plain_loop(teacher, student, temperature):
    """The paper's sum over pairs, images and classes, one number at a time."""
    total, pairs = 0.0, 0
    for t in range(len(teacher)):
        for s in range(len(student)):
            if s == t:
                continue
            pairs += 1
            for b in range(teacher.shape[1]):
                powers = [math.exp(float(x) / temperature) for x in student[s, b]]
                for k, power in enumerate(powers):
                    share = math.log(power / sum(powers))
                    total -= float(teacher[t, b, k]) * share / teacher.shape[1]
    return total / pairs


@pytest.mark.parametrize(("num_teacher", "num_student"), [(2, 2), (2, 5), (1, 3), (2, 1)])
def test_the_loss_equals_the_plain_loop(num_teacher, num_student):
    teacher, student = draw(num_teacher, 3, 4).softmax(dim=2), draw(num_student, 3, 4, seed=1)
    found = dino_loss(teacher, student, 0.5).item()
    assert found == pytest.approx(plain_loop(teacher, student, 0.5))


@pytest.mark.parametrize("num_student", [2, 6])
def test_a_uniform_student_costs_the_logarithm_of_the_number_of_classes(num_student):
    teacher = draw(2, 3, 4).softmax(dim=2)
    loss = dino_loss(teacher, torch.zeros(num_student, 3, 4).double(), 0.1)
    assert loss.item() == pytest.approx(math.log(4))


def test_a_uniform_teacher_costs_the_logarithm_for_a_uniform_student_at_least():
    teacher = torch.full((2, 3, 4), 0.25).double()
    assert dino_loss(teacher, torch.zeros_like(teacher), 0.1).item() == pytest.approx(math.log(4))
    assert dino_loss(teacher, draw(2, 3, 4), 0.1).item() > math.log(4)


def test_the_same_view_has_no_part_in_the_loss():
    teacher = draw(1, 3, 4).softmax(dim=2)
    student = draw(2, 3, 4, seed=1).requires_grad_()
    dino_loss(teacher, student, 0.1).backward()
    assert not student.grad[0].any()
    assert student.grad[1].any()


def test_the_table_has_a_row_for_each_view_of_the_teacher():
    teacher, student = draw(2, 3, 4).softmax(dim=2), draw(5, 3, 4, seed=1)
    table = pair_cross_entropies(teacher, student, 0.5)
    assert table.shape == (2, 5)
    one = torch.nn.functional.cross_entropy(student[3] / 0.5, teacher[1])
    torch.testing.assert_close(table[1, 3], one)


def test_the_teacher_gets_no_gradient():
    logits = draw(2, 3, 4).requires_grad_()
    student = draw(2, 3, 4, seed=1).requires_grad_()
    dino_loss(logits.softmax(dim=2), student, 0.1).backward()
    assert logits.grad is None


def test_autocast_changes_nothing():
    teacher, student = draw(2, 3, 4).softmax(dim=2).float(), draw(2, 3, 4, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = dino_loss(teacher, student, 0.1)
    assert torch.equal(found, dino_loss(teacher, student, 0.1))


def test_a_single_view_is_refused():
    with pytest.raises(ValueError, match="at least two different views, got 1 of the teacher"):
        dino_loss(draw(1, 3, 4).softmax(dim=2), draw(1, 3, 4), 0.1)
