"""A memory of features from earlier batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightly_core.parts.distributed import gather
from lightly_core.parts.precision import no_autocast


class FeatureQueue(nn.Module):
    """Keep the newest rows of many batches, for losses that compare with more than one batch.

    A ring: new rows overwrite the oldest in place. Every process stores the rows of all processes,
    in the same order, so that the queues of all processes are equal. The contents and where the
    next row goes are saved in checkpoints, as the module's extra state.

    The rows are no buffer: DistributedDataParallel sends all buffers from the first process to
    the others in each step, and these are equal already. They follow what is pushed to its device.

    Args:
        size: Q, how many rows are kept.
        dim: D, the width of a row.

    Raises:
        ValueError: `size` or `dim` is below 1.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1 or dim < 1:
            raise ValueError(f"expected size >= 1 and dim >= 1, got size={size} and dim={dim}")
        self.size = size
        self.features = torch.zeros(size, dim)
        self._next = 0
        self._filled = 0
        self._held: list[Tensor] = []

    def __len__(self) -> int:
        """Return how many rows there are, at most `size`."""
        return self._filled

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Add the rows of all processes; of more rows than the queue holds, the last are kept.

        Between the forward pass of a loss that uses `rows` and its backward pass, nothing may be
        pushed, see `hold`.

        Args:
            rows: (B, D), B the same on all processes. No gradient flows into the queue.
        """
        self.features = self.features.to(rows.device)
        new = gather(rows)[-self.size :].to(self.features)  # (min(B * processes, Q), D)
        before_end = min(len(new), self.size - self._next)
        self.features[self._next : self._next + before_end] = new[:before_end]
        self.features[: len(new) - before_end] = new[before_end:]
        self._next = (self._next + len(new)) % self.size
        self._filled = min(self._filled + len(new), self.size)

    def hold(self, rows: Tensor) -> None:
        """Note rows that `push_held` is to push: for a loss that reads the queue before.

        What is held is not saved: `push_held` belongs into ``after_step`` of a method.

        Args:
            rows: As in `push`.
        """
        self._held.append(rows.detach())

    def push_held(self) -> None:
        """Push what has been held since the last call, in its order."""
        held, self._held = self._held, []
        for rows in held:
            self.push(rows)

    def rows(self, device: torch.device | None = None) -> Tensor:
        """Return the rows that have been pushed, (`len`, D), in no particular order.

        A view: it changes with the next `push`.

        Args:
            device: Where the queue is moved before; None: it stays where it is.
        """
        if device is not None:
            self.features = self.features.to(device)
        return self.features[: self._filled]

    def nearest(self, x: Tensor) -> Tensor:
        """Return for each row the most similar one that was pushed.

        NNCLR, https://arxiv.org/abs/2104.14548. Call it before the rows of this step are pushed:
        each would find itself.

        Args:
            x: (B, D) of length 1, as all that is pushed.

        Returns:
            (B, D), a copy without gradient; from an empty queue `x` itself.
        """
        x = x.detach()
        if not self._filled:
            return x
        with no_autocast(x.device):
            rows = self.rows(x.device)
            similarity = x @ rows.to(x.dtype).T  # (B, len)
        return rows[similarity.argmax(dim=1)].to(x.dtype)

    def get_extra_state(self) -> dict[str, Tensor | int]:
        """Return what a state dict holds."""
        return {"features": self.features, "next": self._next, "filled": self._filled}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `get_extra_state` returned.

        Raises:
            ValueError: It comes from a queue of another size.
        """
        features = state["features"]
        if features.shape != self.features.shape:
            raise ValueError(
                f"the saved queue has {' x '.join(map(str, features.shape))} numbers, expected "
                f"{' x '.join(map(str, self.features.shape))}"
            )
        # A copy: the other queue may still be in use.
        self.features = features.to(self.features, copy=True)
        self._next, self._filled = state["next"], state["filled"]
