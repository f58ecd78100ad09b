"""Multi-crop: the forward pass of views of several sizes, and the loss of DINO.

T views of the teacher, S views of the student, B images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.precision import no_autocast, single


@overload
def forward_by_size(
    function: Callable[[Tensor], Tensor], views: Sequence[Tensor]
) -> list[Tensor]: ...
@overload
def forward_by_size(
    function: Callable[[Tensor], Mapping[str, Tensor]], views: Sequence[Tensor]
) -> list[dict[str, Tensor]]: ...
def forward_by_size(
    function: Callable[[Tensor], Tensor] | Callable[[Tensor], Mapping[str, Tensor]],
    views: Sequence[Tensor],
) -> list[Tensor] | list[dict[str, Tensor]]:
    """Run views through a network, with one forward pass for all views of one size.

    Batch norms see the views of one size as one batch, as in SwAV
    (https://arxiv.org/abs/2006.09882) and DINO (https://arxiv.org/abs/2104.14294).

    Args:
        function: Maps images (R, C, H, W) to one tensor (R, ...), or to several by name.
        views: One tensor (B_i, C, H_i, W_i) for each view.

    Returns:
        The result for each view, (B_i, ...), in the order of `views`.

    Raises:
        ValueError: The function returned a different number of rows than it got.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, view in enumerate(views):
        groups.setdefault(tuple(view.shape[1:]), []).append(index)
    results: dict[int, Tensor | dict[str, Tensor]] = {}
    for indices in groups.values():
        sizes = [len(views[index]) for index in indices]
        images = torch.cat([views[index] for index in indices]) if len(sizes) > 1 else None
        output = function(views[indices[0]] if images is None else images)
        results.update(zip(indices, _split(output, sizes), strict=True))
    ordered = [results[index] for index in range(len(views))]
    return cast("list[Tensor] | list[dict[str, Tensor]]", ordered)


def pair_cross_entropies(
    teacher_probabilities: Tensor, student_logits: Tensor, temperature: float
) -> Tensor:
    """Return the cross-entropy of each view of the student with each of the teacher.

    The plain form::

        for t in range(T):
            for s in range(S):
                result[t, s] = mean over b of
                    -sum over k of teacher[t, b, k] * log_softmax(student[s, b] / temperature)[k]

    The einsum ``tbk,sbk->ts`` sums over images b and classes k, and keeps t and s.

    Args:
        teacher_probabilities: (T, B, K), no gradient.
        student_logits: (S, B, K).
        temperature: Divisor of the student's logits, > 0.

    Returns:
        (T, S) in nats, at least float32.
    """
    with no_autocast(student_logits.device):
        targets = single(teacher_probabilities.detach())
        log_probabilities = F.log_softmax(single(student_logits) / temperature, dim=-1)  # (S, B, K)
        sums = torch.einsum("tbk,sbk->ts", targets, log_probabilities)
        return -sums / student_logits.shape[1]


def dino_loss(teacher_probabilities: Tensor, student_logits: Tensor, temperature: float) -> Tensor:
    """Return DINO's loss: each view of the student predicts all other views of the teacher.

    The mean of `pair_cross_entropies` over all pairs of different views. The student's first T
    views are those of the teacher, so the pairs (t, t) are excluded.
    DINO, https://arxiv.org/abs/2104.14294, equation 3.

    Args:
        teacher_probabilities: (T, B, K), centred and sharpened, no gradient.
        student_logits: (S, B, K). View t, for t < T, is view t of the teacher.
        temperature: Divisor of the student's logits, > 0.

    Returns:
        Scalar in nats, at least float32; log(K) for equal logits.

    Raises:
        ValueError: There is no pair of different views.
    """
    table = pair_cross_entropies(teacher_probabilities, student_logits, temperature)
    num_pairs = table.numel() - min(table.shape)
    if num_pairs < 1:
        raise ValueError(
            f"expected at least two different views, got {table.shape[0]} of the teacher and "
            f"{table.shape[1]} of the student"
        )
    return (table.sum() - table.diagonal().sum()) / num_pairs


def _split(
    output: Tensor | Mapping[str, Tensor], sizes: Sequence[int]
) -> list[Tensor] | list[dict[str, Tensor]]:
    if isinstance(output, Tensor):
        if len(output) != sum(sizes):
            raise ValueError(f"expected {sum(sizes)} rows, the function returned {len(output)}")
        return list(torch.split(output, list(sizes)))
    parts = {name: _split(value, sizes) for name, value in output.items()}
    return [
        {name: cast(Tensor, part[i]) for name, part in parts.items()} for i in range(len(sizes))
    ]
