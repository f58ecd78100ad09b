"""A queue of features from earlier batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightly_core.parts.distributed import gather
from lightly_core.parts.precision import no_autocast


class FeatureQueue(nn.Module):
    """A first-in, first-out queue of rows, for losses that need more than one batch.

    A ring buffer: new rows overwrite the oldest in place. Every process stores the rows of all
    processes in the same order, so the queues of all processes are equal. The rows and the write
    position are saved in checkpoints, as extra state of the module.

    The rows are not registered as a buffer. DistributedDataParallel would send them from the first
    process to the others in each step, although they are equal. `push` moves the queue to the
    device of the new rows.

    Args:
        size: Q, the number of rows that are kept.
        dim: D, the dimension of a row.

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
        """Return the number of stored rows, at most `size`."""
        return self._filled

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Add the rows of all processes. If there are more than `size`, the last are kept.

        Do not call it between the forward pass of a loss that reads the queue and its backward
        pass. Use `hold` there.

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
        """Store rows until `push_held` pushes them, after the backward pass.

        Rows on hold are not saved in checkpoints, so call `push_held` in the method's
        ``after_step``.

        Args:
            rows: As in `push`.
        """
        self._held.append(rows.detach())

    def push_held(self) -> None:
        """Push the rows on hold, in the order in which they were added."""
        held, self._held = self._held, []
        for rows in held:
            self.push(rows)

    def rows(self, device: torch.device | None = None) -> Tensor:
        """Return the stored rows, (`len`, D), in no particular order.

        The result is a view, which changes with the next `push`.

        Args:
            device: Device to move the queue to first. None leaves it on its device.
        """
        if device is not None:
            self.features = self.features.to(device)
        return self.features[: self._filled]

    def nearest(self, x: Tensor) -> Tensor:
        """Return the most similar stored row for each row.

        NNCLR, https://arxiv.org/abs/2104.14548. Call it before the rows of this step are pushed.
        Otherwise each row finds itself.

        Args:
            x: (B, D), rows of length 1, like all rows in the queue.

        Returns:
            (B, D), a copy without gradient. If the queue is empty, `x` itself without gradient.
        """
        x = x.detach()
        if not self._filled:
            return x
        with no_autocast(x.device):
            rows = self.rows(x.device)
            similarity = x @ rows.to(x.dtype).T  # (B, len)
        return rows[similarity.argmax(dim=1)].to(x.dtype)

    def get_extra_state(self) -> dict[str, Tensor | int]:
        """Return rows and write position for the state dict."""
        return {"features": self.features, "next": self._next, "filled": self._filled}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Load a state that `get_extra_state` returned.

        Raises:
            ValueError: It belongs to a queue of another size.
        """
        features = state["features"]
        if features.shape != self.features.shape:
            raise ValueError(
                f"the saved queue has {' x '.join(map(str, features.shape))} numbers, expected "
                f"{' x '.join(map(str, self.features.shape))}"
            )
        # Copied, since the other queue may still be in use.
        self.features = features.to(self.features, copy=True)
        self._next, self._filled = state["next"], state["filled"]
