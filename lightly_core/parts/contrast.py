"""InfoNCE losses: cosine similarities of queries with one positive and many negatives.

Each function returns logits and the column of the positive, for
`torch.nn.functional.cross_entropy`, so that a method can also log metrics of them. Queries and keys
may have any length and are normalised to length 1. All is computed in single precision or better:
half precision has three digits, too few for similarities divided by 0.1.

B images on this process, W processes, P channels. If each process takes the mean over its own rows,
the averaged gradients are those of one process with all images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightly_core.parts.cosine import unit
from lightly_core.parts.distributed import gather, gather_with_gradient, rank
from lightly_core.parts.precision import no_autocast
from lightly_core.parts.queue import FeatureQueue


def contrast_views(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Compare each view with all others. The positive is the other view of the same image.

    SimCLR, https://arxiv.org/abs/2002.05709. Gradient flows into queries and candidates.

    Args:
        first: (B, P).
        second: (B, P), row i from the same image.
        temperature: Divisor of the cosine similarities, > 0.

    Returns:
        The logits (2B, 2BW), -inf where a row is compared with itself, and for each row the column
        of its other view (2B,).
    """
    num_rows = 2 * len(first)
    with no_autocast(first.device):
        rows = unit(torch.cat([first, second]))  # (2B, P)
        candidates = gather_with_gradient(rows)  # (2BW, P), one block of 2B rows per process
        logits = rows @ candidates.T / temperature  # (2B, 2BW)
    start = rank() * num_rows  # of this process's block
    logits[:, start : start + num_rows].fill_diagonal_(float("-inf"))
    pair = torch.arange(num_rows, device=rows.device).roll(num_rows // 2) + start  # (2B,)
    return logits, pair


def contrast_keys(
    queries: Tensor, keys: Tensor, temperature: float, *, key_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Compare each query with the keys of all images. The positive is the key of its own image.

    MoCo v3 (https://arxiv.org/abs/2104.02057), NNCLR (https://arxiv.org/abs/2104.14548).

    Args:
        queries: (B, P).
        keys: (B, P), row i is the positive of query i.
        temperature: Divisor of the cosine similarities, > 0.
        key_gradient: Whether gradient flows into the keys, including those of other processes.

    Returns:
        The logits (B, BW), and for each query the column of its key (B,).
    """
    with no_autocast(queries.device):
        gathered = (gather_with_gradient if key_gradient else gather)(unit(keys))  # (BW, P)
        logits = unit(queries) @ gathered.T / temperature  # (B, BW)
    return logits, _own_rows(len(queries), queries.device)


def contrast_negatives(
    queries: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    own: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compare each query with its positive and with negatives that all queries share.

    MoCo, https://arxiv.org/abs/1911.05722. Gradient flows into the queries only.

    Args:
        queries: (R, P).
        positives: (R, P).
        negatives: (N, P), vectors of length 1.
        temperature: Divisor of the cosine similarities, > 0.
        own: For each query the row of `negatives` to exclude, (R,). None excludes no row.

    Returns:
        The logits (R, 1 + N), -inf for each query's own row, and zeros (R,): the positive is first.
    """
    with no_autocast(queries.device):
        rows = unit(queries)
        others = rows @ negatives.detach().to(rows.dtype).T  # (R, N)
        right = (rows * unit(positives.detach())).sum(dim=1, keepdim=True)  # (R, 1)
        if own is not None:
            others = others.scatter(1, own[:, None], float("-inf"))
        logits = torch.cat([right, others], dim=1) / temperature
    return logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device)


def negatives_from(queue: FeatureQueue, keys: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the negatives of a step: the queue, or the batch's keys while the queue is empty.

    A queue starts empty, since random rows would be far too easy as negatives.

    Args:
        queue: Keys of earlier batches, of length 1.
        keys: Keys of this batch, (B, P), row i for image i.

    Returns:
        ``negatives`` and ``own`` for `contrast_negatives`: rows (N, P), and for each image the row
        of its own key (B,), or None if no row belongs to this batch.
    """
    if len(queue):
        return queue.rows(keys.device), None
    with no_autocast(keys.device):
        return gather(unit(keys)), _own_rows(len(keys), keys.device)


def top1(logits: Tensor, target: Tensor) -> Tensor:
    """Return the fraction of rows, in [0, 1], whose largest logit is that of the target.

    Args:
        logits: (R, C).
        target: Column of the target in each row, (R,).
    """
    return (logits.detach().argmax(dim=1) == target).float().mean()


def _own_rows(batch_size: int, device: torch.device) -> Tensor:
    """Return the indices of this process's rows among those of all processes, (B,)."""
    return torch.arange(batch_size, device=device) + rank() * batch_size
