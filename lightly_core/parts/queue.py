"""A memory of features from earlier batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightly_core.parts.distributed import gather


class FeatureQueue(nn.Module):
    """Keep the newest rows of many batches, for losses that compare with more than one batch.

    A ring: new rows overwrite the oldest in place. Every process stores the rows of all processes,
    in the same order, so that the queues of all processes are equal. The contents and where the
    next row goes are saved in checkpoints.

    Args:
        size: Q, how many rows are kept.
        dim: D, the width of a row.

    Raises:
        ValueError: `size` or `dim` is below 1.
    """

    features: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"expected size >= 1 and dim >= 1, got size={size} and dim={dim}")
        self.size = size
        self.register_buffer("features", torch.zeros(size, dim))
        # Next row and number of rows, for checkpoints only: to read them on each step, the
        # program would have to wait for the device.
        self.register_buffer("position", torch.zeros(2, dtype=torch.int64))
        self._next = 0
        self._filled = 0

    def __len__(self) -> int:
        """Return how many rows there are, at most `size`."""
        return self._filled

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Add the rows of all processes; of more rows than the queue holds, the last are kept.

        Between the forward pass of a loss that uses `rows` and its backward pass, nothing may be
        pushed.

        Args:
            rows: (B, D), B the same on all processes. No gradient flows into the queue.
        """
        new = gather(rows)[-self.size :].to(self.features)  # (min(B * processes, Q), D)
        before_end = min(len(new), self.size - self._next)
        self.features[self._next : self._next + before_end] = new[:before_end]
        self.features[: len(new) - before_end] = new[before_end:]
        self._next = (self._next + len(new)) % self.size
        self._filled = min(self._filled + len(new), self.size)
        self.position[0].fill_(self._next)
        self.position[1].fill_(self._filled)

    def rows(self) -> Tensor:
        """Return the rows that have been pushed, (`len`, D), in no particular order.

        A view: it changes with the next `push`.
        """
        return self.features[: self._filled]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's
        super()._load_from_state_dict(*args, **kwargs)
        if self.position.device.type != "meta":
            self._next, self._filled = self.position.tolist()
