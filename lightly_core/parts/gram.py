"""Gram anchoring: match the patch similarities of an earlier network."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lightly_core.parts.precision import no_autocast, single


def gram_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    negatives: Literal["keep", "clip"] = "keep",
    chunk_size: int = 1024,
) -> Tensor:
    """Compare the Gram matrices of patches, the student's with the teacher's.

    With patches of length 1::

        loss = mean over b, i, j of (s[b, i] . s[b, j] - t[b, i] . t[b, j]) ** 2

    A rotation of the features does not change the loss. DINOv3
    (https://arxiv.org/abs/2508.10104), section 4.

    The N x N similarities are computed for `chunk_size` rows at a time, and again in the backward
    pass, to save memory.

    Args:
        student: Patch features (B, N, D). Any length, normalised here.
        teacher: Features of the same patches from the teacher (B, N, E), no gradient.
        negatives: ``keep`` all similarities, or ``clip`` those below 0 to 0 on both sides, so that
            only positive similarities have to match.
        chunk_size: Largest number of rows whose similarities are in memory at once, >= 1.

    Returns:
        Scalar >= 0, at least float32. It is 0 if and only if the similarities are equal.

    Raises:
        ValueError: The numbers of images or patches differ, or an option is invalid.
    """
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "expected the same number of images and patches for student and teacher, got "
            f"{tuple(student.shape[:2])} and {tuple(teacher.shape[:2])}"
        )
    if negatives not in ("keep", "clip") or chunk_size < 1:
        raise ValueError(
            "expected negatives='keep' or 'clip' and chunk_size >= 1, got "
            f"negatives={negatives!r} and chunk_size={chunk_size}"
        )
    batch_size, num_patches = student.shape[:2]
    with no_autocast(student.device):
        unit = F.normalize(single(student), dim=2)
        target = F.normalize(single(teacher.detach()), dim=2)
        total = unit.new_zeros(())
        num_images = max(1, chunk_size // num_patches)
        num_rows = min(chunk_size, num_patches)
        for first in range(0, batch_size, num_images):
            images = slice(first, first + num_images)
            for start in range(0, num_patches, num_rows):
                rows = slice(start, start + num_rows)
                total = total + _differences(
                    unit[images], target[images], rows, negatives == "clip"
                )
        return total / (batch_size * num_patches**2)


def _differences(unit: Tensor, target: Tensor, rows: slice, clip: bool) -> Tensor:
    """Return the sum of squared differences of some rows. No N x N tensor is kept."""

    def compute(own: Tensor, anchor: Tensor) -> Tensor:
        with no_autocast(own.device):
            similar = own[:, rows] @ own.mT  # (b, r, N)
            wanted = anchor[:, rows] @ anchor.mT  # (b, r, N)
            if clip:
                similar, wanted = similar.relu(), wanted.relu()
            return (similar - wanted).square().sum()

    if not (torch.is_grad_enabled() and unit.requires_grad):
        return compute(unit, target)
    result: Tensor = checkpoint(
        compute, unit, target, use_reentrant=False, preserve_rng_state=False
    )
    return result
