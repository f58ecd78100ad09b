"""Gram anchoring: patches keep the similarities that an earlier network gave them."""

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
    """Compare how similar the patches of an image are to each other, student and teacher.

    With patches of length 1::

        loss = mean over b, i, j of (s[b, i] . s[b, j] - t[b, i] . t[b, j]) ** 2

    Features may turn as long as their inner geometry stays. DINOv3
    (https://arxiv.org/abs/2508.10104), section 4.

    The N x N similarities exist for `chunk_size` rows at a time and are computed again in the
    backward pass.

    Args:
        student: Patch features (B, N, D). Any length, normalised here.
        teacher: Patch features of the anchor (B, N, E), the same positions; no gradient.
        negatives: ``keep`` all similarities, or ``clip`` those below 0 to 0 on both sides: what
            is unlike need not be unlike in the same way.
        chunk_size: Largest number of rows whose similarities exist at once, >= 1.

    Returns:
        Scalar >= 0, at least float32; 0 if and only if the similarities are equal.

    Raises:
        ValueError: The two have other numbers of images or patches, or an option is wrong.
    """
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "expected as many images and patches of student and teacher, got "
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
    """Return the sum of squared differences of some rows; nothing of N x N is kept."""

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
