"""The losses of the three distillations, in single precision whatever the networks compute in.

B images, N positions of the teacher's feature map, D and E channels, Q rows of the queue.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lightly_core.parts.precision import no_autocast

# Shorter vectors are not stretched to unit length.
_LEAST_NORM = 1e-6


def queue_kl(student: Tensor, teacher: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Compare the similarities of an image to the rows of a queue, for student and teacher.

    The rows are the teacher's features for both::

        t[i] = softmax over q of cos(teacher[i], queue[q]) / temperature
        s[i] = softmax over q of cos(student[i], queue[q]) / temperature
        loss = mean over i of sum over q of t[i, q] * log(t[i, q] / s[i, q])

    Args:
        student: Projected to the teacher's dimension, (B, D). Any length, normalised here.
        teacher: (B, D), no gradient. Any length, normalised here.
        queue: The teacher's normalised features of other images, (Q, D), no gradient.
        temperature: Divisor of the similarities, > 0. The loss is not multiplied by its square.

    Returns:
        Scalar in nats, >= 0, at least float32.
    """
    with no_autocast(student.device):
        student, teacher = _alike(student, teacher.detach())
        rows = queue.detach().to(student.dtype)
        targets = F.normalize(teacher, dim=1) @ rows.T / temperature  # (B, Q)
        logits = F.normalize(student, dim=1) @ rows.T / temperature  # (B, Q)
        return F.kl_div(
            F.log_softmax(logits, dim=1),
            F.log_softmax(targets, dim=1),
            reduction="batchmean",
            log_target=True,
        )


def feature_regression(
    student: Tensor, teacher: Tensor, kind: Literal["mse", "normalized_mse", "cosine"]
) -> Tensor:
    """Compare features position by position.

    Args:
        student: (B, N, D).
        teacher: (B, N, D), no gradient.
        kind: ``mse``: mean squared error. ``normalized_mse``: the same, with the teacher's features
            standardised over the channels at each position (https://arxiv.org/abs/2205.14141).
            ``cosine``: one minus the cosine, mean over positions.

    Returns:
        Scalar, >= 0, at least float32.
    """
    with no_autocast(student.device):
        predicted, target = _alike(student, teacher.detach())
        if kind == "cosine":
            return 1 - F.cosine_similarity(predicted, target, dim=2).mean()
        if kind == "normalized_mse":
            target = F.layer_norm(target, target.shape[2:])
        return F.mse_loss(predicted, target)


def relational_kl(
    student: Tensor, teacher: Tensor, temperature: float, chunk_size: int = 4096
) -> Tensor:
    """Compare the similarities of an image's positions to each other, for student and teacher.

    For position n of image b, in either network::

        p[b, n] = softmax over m of cos(x[b, n], x[b, m]) / temperature
        loss = mean over b and n of sum over m of t[b, n, m] * log(t[b, n, m] / s[b, n, m])

    The B * N * N similarities are never held all at once: the gradient is computed together with
    the loss, `chunk_size` rows at a time. Beyond the arguments this needs memory for one tensor of
    the student's size, about 5 * `chunk_size` * N numbers, and the images of one chunk.

    Args:
        student: (B, N, E). Any length, normalised here.
        teacher: (B, N, D), no gradient. Any length, normalised here.
        temperature: Divisor of the similarities, > 0.
        chunk_size: Rows of similarities, that is positions, computed at once, >= 1.

    Returns:
        Scalar in nats, >= 0, at least float32. It can be differentiated once.
    """
    loss: Tensor = _RelationalKL.apply(student, teacher.detach(), temperature, chunk_size)
    return loss


class _RelationalKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch types it so
        student: Tensor,
        teacher: Tensor,
        temperature: float,
        chunk_size: int,
    ) -> Tensor:
        batch_size, num_positions, _ = student.shape
        wants_gradient = bool(ctx.needs_input_grad[0])
        gradient = torch.empty_like(student) if wants_gradient else None
        dtype = torch.promote_types(student.dtype, torch.float32)
        total = torch.zeros((), dtype=dtype, device=student.device)
        images = max(1, chunk_size // num_positions)
        with no_autocast(student.device):
            for start in range(0, batch_size, images):
                part = slice(start, start + images)
                loss, change = _images_kl(
                    *_alike(student[part], teacher[part]),
                    temperature,
                    min(chunk_size, num_positions),
                    wants_gradient,
                )
                total += loss
                if gradient is not None:
                    gradient[part] = change / (batch_size * num_positions)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total / (batch_size * num_positions)

    @staticmethod
    @once_differentiable  # type: ignore[misc, untyped-decorator, unused-ignore]
    def backward(ctx: FunctionCtx, scale: Tensor) -> tuple[Tensor | None, None, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * scale.to(gradient.dtype), None, None, None


def _images_kl(
    student: Tensor, teacher: Tensor, temperature: float, num_rows: int, wants_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Return the sum of the KL over all rows of a few images, and its gradient.

    Args:
        student: (b, N, E), at least float32.
        teacher: (b, N, D), at least float32.
        temperature: As in `relational_kl`.
        num_rows: Positions of each image whose similarities are computed at once.
        wants_gradient: Whether the gradient is computed; else it is 0.
    """
    lengths = student.norm(dim=2, keepdim=True).clamp_min(_LEAST_NORM)  # (b, N, 1)
    unit = student / lengths
    target = teacher / teacher.norm(dim=2, keepdim=True).clamp_min(_LEAST_NORM)
    gradient = torch.zeros_like(unit)
    total = unit.new_zeros(())
    for start in range(0, unit.shape[1], num_rows):
        rows = slice(start, start + num_rows)
        log_target = _log_similarities(target, rows, temperature)  # (b, r, N)
        log_student = _log_similarities(unit, rows, temperature)  # (b, r, N)
        probability = log_target.exp()
        total += (probability * log_target.sub_(log_student)).sum()
        if wants_gradient:
            change = log_student.exp_().sub_(probability).div_(temperature)  # d loss / d cosine
            # Each position is a query and a candidate of all others.
            gradient[:, rows] += change @ unit
            gradient += change.mT @ unit[:, rows]
    # Backward through the normalisation: the part along a vector does not change its direction.
    along = (gradient * unit).sum(dim=2, keepdim=True)
    return total, (gradient - unit * along) / lengths


def _log_similarities(unit: Tensor, rows: slice, temperature: float) -> Tensor:
    return F.log_softmax(unit[:, rows] @ unit.mT / temperature, dim=2)


def _alike(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in the student's type, at least float32: a teacher's features are float32."""
    dtype = torch.promote_types(student.dtype, torch.float32)
    return student.to(dtype), teacher.to(dtype)
