"""NT-Xent, the normalised and temperature-scaled cross-entropy of SimCLR.

B images on this process, W processes, P channels of the projection.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lightly_core.parts.distributed import gather_with_gradient, rank
from lightly_core.parts.precision import no_autocast


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding an image's other view among all views in the batch.

    For each of the 2B rows of this process, the 2BW - 1 other rows of all processes are candidates
    and one of them is right::

        loss = mean over i of -log(exp(s[i, pair(i)]) / sum over k != i of exp(s[i, k]))

    where s is the cosine similarity divided by the temperature. Averaging the gradients over
    processes gives the gradient of one large batch. https://arxiv.org/abs/2002.05709

    Args:
        first: Projections of the first views, (B, P). Any length, normalised here.
        second: Projections of the second views, (B, P), row i from the same image.
        temperature: Divisor of the cosine similarities, > 0.

    Returns:
        Scalar in nats, at least float32; log(2BW - 1) when all projections are equal.
    """
    return F.cross_entropy(*contrast(first, second, temperature))


def contrast(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Compare the views of this process with those of all processes.

    Args:
        first: As in `nt_xent`.
        second: As in `nt_xent`.
        temperature: As in `nt_xent`.

    Returns:
        The logits (2B, 2BW), -inf where a row meets itself, and for each row the column of its
        other view (2B,).
    """
    rows = torch.cat([first, second])  # (2B, P)
    num_rows = len(rows)
    # Half precision has three digits, too few for similarities divided by 0.1.
    with no_autocast(rows.device):
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        rows = F.normalize(rows, dim=1)
        candidates = gather_with_gradient(rows)  # (2BW, P), one block of 2B rows a process
        logits = rows @ candidates.T / temperature  # (2B, 2BW)
    start = rank() * num_rows  # of this process's block
    logits[:, start : start + num_rows].fill_diagonal_(float("-inf"))
    pair = torch.arange(num_rows, device=rows.device).roll(num_rows // 2) + start  # (2B,)
    return logits, pair
