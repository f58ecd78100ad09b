import math

import pytest
import torch

from lightly_distillation.loss import feature_regression, queue_kl, relational_kl


def numbers(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (a.norm() * b.norm())


def plain_kl(student_scores, teacher_scores):
    """KL(teacher || student) of two lists of logits."""
    student = [math.exp(score) for score in student_scores]
    teacher = [math.exp(score) for score in teacher_scores]
    return sum(
        t / sum(teacher) * math.log(t / sum(teacher) / (s / sum(student)))
        for s, t in zip(student, teacher, strict=True)
    )


# ---------------------------------------------------------------------------- queue_kl


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_queue_kl_matches_the_plain_loop(temperature):
    student, teacher, queue = numbers(3, 5), numbers(3, 5, seed=1), unit(numbers(4, 5, seed=2))
    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        expected += plain_kl(
            [cosine(s, q).item() / temperature for q in queue],
            [cosine(t, q).item() / temperature for q in queue],
        )
    loss = queue_kl(student, teacher, queue, temperature)
    assert loss.item() == pytest.approx(expected / 3, rel=1e-9)


def test_queue_kl_of_two_orthogonal_rows():
    # The teacher is at the first row, the student halfway: cosines (1, 0) and (1, 1) / sqrt(2).
    queue = torch.eye(2, dtype=torch.float64)
    share = math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 1)
    expected = share * math.log(share / 0.5) + (1 - share) * math.log((1 - share) / 0.5)
    loss = queue_kl(torch.ones(1, 2).double(), queue[:1], queue, 0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_queue_kl_is_zero_where_the_student_agrees_whatever_its_length():
    teacher, queue = unit(numbers(3, 5)), unit(numbers(4, 5, seed=1))
    assert queue_kl(7 * teacher, teacher, queue, 0.07).item() == pytest.approx(0, abs=1e-12)


def test_queue_kl_gives_only_the_student_a_gradient():
    student, teacher, queue = (numbers(3, 5, seed=seed).requires_grad_() for seed in range(3))
    queue_kl(student, teacher, queue, 0.1).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert queue.grad is None


def test_queue_kl_gradient():
    teacher, queue = numbers(3, 5, seed=1), unit(numbers(4, 5, seed=2))
    student = numbers(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: queue_kl(s, teacher, queue, 0.3), student)


def test_queue_kl_is_not_touched_by_autocast():
    student, teacher, queue = (numbers(4, 32, seed=s, dtype=torch.float32) for s in range(3))
    expected = queue_kl(student, teacher, queue, 0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(queue_kl(student, teacher, queue, 0.07), expected)


# ------------------------------------------------------------------ feature_regression


def test_mse_matches_the_plain_loop():
    student, teacher = numbers(2, 3, 4), numbers(2, 3, 4, seed=1)
    pairs = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    expected = sum((s - t) ** 2 for s, t in pairs) / 24
    loss = feature_regression(student, teacher, "mse")
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_normalized_mse_matches_the_plain_loop():
    student, teacher = numbers(2, 3, 8), 5 + 3 * numbers(2, 3, 8, seed=1)
    total = 0.0
    for s, t in zip(student.reshape(6, 8), teacher.reshape(6, 8), strict=True):
        mean, std = t.mean().item(), t.std(correction=0).item()
        pairs = zip(s.tolist(), t.tolist(), strict=True)
        total += sum((a - (b - mean) / std) ** 2 for a, b in pairs)
    loss = feature_regression(student, teacher, "normalized_mse")
    assert loss.item() == pytest.approx(total / 48, rel=1e-4)  # layer_norm adds 1e-5


def test_normalized_mse_of_zeros_is_one_whatever_the_teachers_scale():
    teacher = 40 + 100 * numbers(2, 3, 64)
    loss = feature_regression(torch.zeros(2, 3, 64).double(), teacher, "normalized_mse")
    assert loss.item() == pytest.approx(1, rel=1e-6)


def test_cosine_matches_the_plain_loop_and_ignores_lengths():
    student, teacher = numbers(2, 3, 4), numbers(2, 3, 4, seed=1)
    cosines = [
        cosine(s, t).item()
        for s, t in zip(student.reshape(6, 4), teacher.reshape(6, 4), strict=True)
    ]
    loss = feature_regression(student, teacher, "cosine")
    assert loss.item() == pytest.approx(1 - sum(cosines) / 6, rel=1e-9)
    assert feature_regression(9 * student, teacher, "cosine").item() == pytest.approx(loss.item())


@pytest.mark.parametrize("kind", ["mse", "normalized_mse", "cosine"])
def test_regression_is_in_single_precision_and_trains_the_student_only(kind):
    student = numbers(2, 3, 8, dtype=torch.bfloat16).requires_grad_()
    teacher = numbers(2, 3, 8, seed=1, dtype=torch.float32).requires_grad_()
    loss = feature_regression(student, teacher, kind)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, feature_regression(student.float(), teacher, kind))
    loss.backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


# ----------------------------------------------------------------------- relational_kl


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_relational_kl_matches_the_plain_loop(temperature):
    student, teacher = numbers(2, 4, 3), numbers(2, 4, 5, seed=1)
    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        for n in range(4):
            expected += plain_kl(
                [cosine(s[n], s[m]).item() / temperature for m in range(4)],
                [cosine(t[n], t[m]).item() / temperature for m in range(4)],
            )
    loss = relational_kl(student, teacher, temperature)
    assert loss.item() == pytest.approx(expected / 8, rel=1e-9)


def unchunked(student, teacher, temperature):
    """The definition with whole matrices, differentiated by torch."""
    s, t = unit(student), unit(teacher)
    log_s = torch.log_softmax(s @ s.mT / temperature, dim=2)
    log_t = torch.log_softmax(t @ t.mT / temperature, dim=2)
    return (log_t.exp() * (log_t - log_s)).sum(dim=2).mean()


@pytest.mark.parametrize("chunk_size", [1, 3, 6, 7, 12, 18, 1000])
def test_every_chunk_size_gives_the_loss_and_gradient_of_whole_matrices(chunk_size):
    teacher = numbers(5, 6, 4, seed=1)
    student = numbers(5, 6, 3).requires_grad_()
    loss, expected = (
        relational_kl(student, teacher, 0.2, chunk_size),
        unchunked(student, teacher, 0.2),
    )
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(3 * loss, student)
    (wanted,) = torch.autograd.grad(3 * expected, student)
    torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("chunk_size", [2, 100])
def test_relational_kl_gradient(chunk_size):
    teacher, student = numbers(2, 3, 4, seed=1), numbers(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: relational_kl(s, teacher, 0.3, chunk_size), student)


def test_relational_kl_is_zero_for_rotated_features():
    teacher = numbers(2, 6, 4)
    rotation, _ = torch.linalg.qr(numbers(4, 4, seed=1))
    assert relational_kl(2 * teacher @ rotation, teacher, 0.07).item() == pytest.approx(0, abs=1e-9)


def test_relational_kl_trains_the_student_only():
    student, teacher = (numbers(2, 3, 4, seed=seed).requires_grad_() for seed in range(2))
    relational_kl(student, teacher, 0.1).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_relational_kl_of_half_precision_features_is_computed_in_single(dtype):
    student = numbers(2, 5, 8, dtype=dtype).requires_grad_()
    teacher = numbers(2, 5, 8, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = relational_kl(student, teacher, 0.07)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, relational_kl(student.float(), teacher, 0.07))
    loss.backward()
    assert student.grad.dtype == dtype


def test_a_position_of_zeros_gives_finite_numbers():
    student = numbers(1, 3, 4)
    student[0, 1] = 0
    student.requires_grad_()
    loss = relational_kl(student, numbers(1, 3, 4, seed=1), 0.1)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers the largest tensor that any operation makes, in numbers."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, (tuple, list)) else [result]
        self.numel = max(
            self.numel, *(r.numel() for r in results if isinstance(r, torch.Tensor)), 0
        )
        return result


@pytest.mark.parametrize("chunk_size", [16, 64, 256])
def test_memory_is_bounded_by_the_chunk(chunk_size):
    # 8 images of 64 positions: the whole matrices have 8 * 64 * 64 = 32768 numbers.
    student = numbers(8, 64, 4, dtype=torch.float32).requires_grad_()
    teacher = numbers(8, 64, 4, seed=1, dtype=torch.float32)
    with Largest() as largest:
        relational_kl(student, teacher, 0.07, chunk_size).backward()
    assert largest.numel == max(chunk_size * 64, student.numel())


# ---------------------------------------------------------------------------- number types


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "loss",
    [
        lambda student, teacher: queue_kl(student[0], teacher[0], unit(teacher[1]), 0.1),
        lambda student, teacher: feature_regression(student, teacher, "mse"),
        lambda student, teacher: feature_regression(student, teacher, "cosine"),
        lambda student, teacher: relational_kl(student, teacher, 0.1),
    ],
    ids=["queue_kl", "mse", "cosine", "relational_kl"],
)
def test_a_teacher_in_single_precision_fits_students_of_any(loss, dtype):
    student = numbers(2, 4, 5, dtype=dtype)
    teacher = numbers(2, 4, 5, seed=1, dtype=torch.float32)
    expected = loss(student.double(), teacher.double())
    found = loss(student.requires_grad_(), teacher)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert student.grad.dtype == dtype
