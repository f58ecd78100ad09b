import io

import pytest
import torch
from torch import nn

from lightly_core.optim.groups import default_parameter_groups
from lightly_core.parts.ema import EmaTeacher


def student_modules():
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 5)
    )
    return nn.ModuleDict({"backbone": backbone, "head": nn.Linear(5, 2)}).double()


def train_a_bit(student):
    """Change parameters and running statistics."""
    images = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    loss = student["head"](student["backbone"](images)).square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter -= 0.001 * parameter.grad
            parameter.grad = None


def test_the_teacher_starts_equal_and_apart():
    student = student_modules()
    teacher = EmaTeacher(student)
    for name, value in student.state_dict().items():
        assert torch.equal(teacher.state_dict()[name], value)
    train_a_bit(student)
    assert not torch.equal(teacher["head"].weight, student["head"].weight)


@pytest.mark.parametrize("buffers", ["copy", "ema", "keep"])
def test_after_some_steps_it_is_the_average_of_the_student(buffers):
    student = student_modules()
    teacher = EmaTeacher(student, buffers=buffers)
    expected = {name: value.clone() for name, value in teacher.state_dict().items()}
    parameters = {name for name, _ in student.named_parameters()}
    for step in range(8):
        train_a_bit(student)
        momentum = 0.5 + 0.05 * step
        teacher.update_from(student, momentum)
        for name, value in student.state_dict().items():
            if name in parameters or (buffers == "ema" and value.is_floating_point()):
                expected[name] = momentum * expected[name] + (1 - momentum) * value
            elif buffers != "keep":
                expected[name] = value.clone()
    for name, value in teacher.state_dict().items():
        assert value.isfinite().all()
        torch.testing.assert_close(value, expected[name], rtol=1e-14, atol=1e-15)
    batches = teacher["backbone"][1].num_batches_tracked.item()
    assert batches == (0 if buffers == "keep" else 8)


def test_a_momentum_near_one_moves_single_precision():
    student = nn.ModuleDict({"a": nn.Linear(3, 3)})
    teacher = EmaTeacher(student)
    before = teacher["a"].weight.clone()
    with torch.no_grad():
        student["a"].weight += 1
    for _ in range(10):
        teacher.update_from(student, 0.9995)
    torch.testing.assert_close(teacher["a"].weight, before + (1 - 0.9995**10), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("momentum", "moves"), [(1.0, False), (0.0, True)])
def test_the_ends_of_the_range_keep_or_copy(momentum, moves):
    student = student_modules()
    teacher = EmaTeacher(student)
    before = teacher["head"].weight.clone()
    train_a_bit(student)
    teacher.update_from(student, momentum)
    expected = student["head"].weight if moves else before
    assert torch.equal(teacher["head"].weight, expected)


def test_no_parameter_is_trained():
    student = student_modules()
    method = nn.ModuleDict({"student": student, "teacher": EmaTeacher(student)})
    trained = {id(p) for group in default_parameter_groups(method) for p in group.parameters}
    assert trained == {id(p) for p in student.parameters()}
    assert not any(p.requires_grad for p in method["teacher"].parameters())


def test_a_frozen_student_stays_frozen_and_equal():
    student = student_modules().requires_grad_(False)
    teacher = EmaTeacher(student)
    teacher.update_from(student, 0.3)
    assert torch.equal(teacher["head"].weight, student["head"].weight)


def test_an_update_records_no_graph():
    student = student_modules()
    teacher = EmaTeacher(student)
    teacher.update_from(student, 0.9)
    assert teacher["head"].weight.grad_fn is None
    assert student["head"].weight.requires_grad


@pytest.mark.parametrize(
    ("mode", "norm_trains", "dropout_trains"),
    [("eval", False, False), ("batch_norm", True, False), ("train", True, True)],
)
def test_the_mode_is_kept_while_the_method_trains(mode, norm_trains, dropout_trains):
    method = nn.ModuleDict({"teacher": EmaTeacher(student_modules(), mode=mode)})
    _, norm, dropout, *_ = method["teacher"]["backbone"]
    for _ in range(2):
        method.train()
        assert (norm.training, dropout.training) == (norm_trains, dropout_trains)
        method.eval()
        assert (norm.training, dropout.training) == (False, False)


def test_the_state_dict_brings_the_average_back():
    student = student_modules()
    teacher = EmaTeacher(student)
    train_a_bit(student)
    teacher.update_from(student, 0.7)
    file = io.BytesIO()
    torch.save(teacher.state_dict(), file)
    file.seek(0)
    fresh = EmaTeacher(student_modules())
    fresh.load_state_dict(torch.load(file, weights_only=True))
    train_a_bit(student)
    for one in (teacher, fresh):
        one.update_from(student, 0.7)
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, teacher.state_dict()[name])


def test_shared_parameters_stay_shared():
    first = nn.Linear(3, 3, bias=False)
    second = nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    student = nn.ModuleDict({"tied": nn.Sequential(first, second)})
    teacher = EmaTeacher(student)
    with torch.no_grad():
        first.weight += 1
    teacher.update_from(student, 0.5)
    one, other = teacher["tied"]
    assert one.weight is other.weight
    torch.testing.assert_close(one.weight, first.weight - 0.5)


def test_other_modules_are_refused():
    student = student_modules()
    teacher = EmaTeacher(student)
    with pytest.raises(ValueError, match=r"\['backbone', 'head'\], got \['head'\]"):
        teacher.update_from({"head": student["head"]}, 0.9)


def test_a_student_that_grew_is_refused():
    student = student_modules()
    teacher = EmaTeacher(student)
    student["head"] = nn.Sequential(student["head"], nn.Linear(2, 2))
    with pytest.raises(ValueError, match="after all layers of the student exist"):
        teacher.update_from(student, 0.9)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_out_of_range_is_refused(momentum):
    student = student_modules()
    with pytest.raises(ValueError, match=r"momentum in \[0, 1\]"):
        EmaTeacher(student).update_from(student, momentum)


@pytest.mark.parametrize("options", [{"mode": "frozen"}, {"buffers": "mean"}])
def test_other_words_are_refused(options):
    (word,) = options.values()
    with pytest.raises(ValueError, match=word):
        EmaTeacher(student_modules(), **options)


def test_a_teacher_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one module"):
        EmaTeacher({})
