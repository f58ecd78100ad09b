import pytest
import torch
import torch.nn.functional as F

from lightly_core.parts.gram import gram_loss


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(student, teacher, clip=False):
    total = 0.0
    batch_size, num_patches = student.shape[:2]
    for b in range(batch_size):
        for i in range(num_patches):
            for j in range(num_patches):
                own = float(F.cosine_similarity(student[b, i], student[b, j], dim=0))
                anchor = float(F.cosine_similarity(teacher[b, i], teacher[b, j], dim=0))
                if clip:
                    own, anchor = max(own, 0), max(anchor, 0)
                total += (own - anchor) ** 2
    return total / (batch_size * num_patches**2)


@pytest.mark.parametrize("negatives", ["keep", "clip"])
@pytest.mark.parametrize("chunk_size", [1, 3, 6, 7, 13, 1024])
def test_it_equals_the_plain_loop_for_every_chunk(negatives, chunk_size):
    student, teacher = draw(3, 6, 4), draw(3, 6, 5, seed=1)
    found = gram_loss(student, teacher, negatives=negatives, chunk_size=chunk_size)
    assert found.item() == pytest.approx(plain(student, teacher, negatives == "clip"))


def test_a_rotation_costs_nothing():
    teacher = draw(2, 6, 4)
    rotation, _ = torch.linalg.qr(draw(4, 4, seed=1))
    assert gram_loss(3 * teacher @ rotation, teacher).item() == pytest.approx(0, abs=1e-15)


def test_equal_patches_against_patches_at_right_angles():
    # Similarities of 1 against those of the identity: 12 of 16 differ by 1.
    found = gram_loss(torch.ones(1, 4, 4), torch.eye(4)[None])
    assert found.item() == pytest.approx(12 / 16)


def test_clipping_forgives_opposite_patches():
    student = torch.tensor([[[1.0, 0], [0, 1]]])
    teacher = torch.tensor([[[1.0, 0], [-1, 0]]])
    assert gram_loss(student, teacher).item() == pytest.approx(0.5)
    assert gram_loss(student, teacher, negatives="clip").item() == pytest.approx(0)


@pytest.mark.parametrize("chunk_size", [2, 1024])
def test_the_gradient_is_right(chunk_size):
    def loss(student):
        return gram_loss(student, draw(2, 5, 3, seed=1), chunk_size=chunk_size)

    assert torch.autograd.gradcheck(loss, draw(2, 5, 3).requires_grad_())


def test_the_teacher_gets_no_gradient():
    student, teacher = draw(2, 5, 3).requires_grad_(), draw(2, 5, 3, seed=1).requires_grad_()
    gram_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.any()


def test_nothing_of_all_pairs_is_kept_for_the_backward_pass():
    sizes = []

    def note(x):
        sizes.append(x.numel())
        return x

    student = draw(2, 30, 3).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = gram_loss(student, draw(2, 30, 3, seed=1), chunk_size=5)
    assert max(sizes) < 30 * 30
    loss.backward()


def test_it_is_computed_in_single_precision():
    student, teacher = draw(2, 6, 4, dtype=torch.float32), draw(2, 6, 4, seed=1).float()
    student.requires_grad_()
    expected = torch.autograd.grad(gram_loss(student, teacher), student)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gram_loss(student, teacher)
    assert found.dtype == torch.float32
    assert torch.equal(found, gram_loss(student, teacher))
    assert torch.equal(torch.autograd.grad(found, student)[0], expected)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 5, 3), {}, r"\(2, 6\) and \(2, 5\)"),
        ((2, 6, 3), {"negatives": "drop"}, "'drop'"),
        ((2, 6, 3), {"chunk_size": 0}, "chunk_size=0"),
    ],
)
def test_what_does_not_fit_is_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        gram_loss(draw(2, 6, 3), draw(*shape), **options)
