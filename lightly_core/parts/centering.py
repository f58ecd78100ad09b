"""Centring of the teacher's outputs, which avoids collapse to one class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lightly_core.parts.distributed import world_size
from lightly_core.parts.precision import no_autocast, single


class Center(nn.Module):
    """Moving average of the teacher's outputs, and the centred softmax.

    ``center = m * center + (1 - m) * mean``, the mean over all rows of all processes. An update
    affects the next steps only, as in DINO (https://arxiv.org/abs/2104.14294)::

        targets = self.center.probabilities(logits, temperature)
        self.center.update(logits)

    The sum over processes runs during the student's forward pass. The next read of the centre
    waits for it. iBOT and DINOv2 have one centre for class tokens and one for patches.

    Args:
        dim: K, number of outputs.
        momentum: m, in [0, 1].

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, dim: int, momentum: float = 0.9) -> None:
        super().__init__()
        if dim < 1 or not 0 <= momentum <= 1:
            raise ValueError(
                f"expected dim >= 1 and momentum in [0, 1], got dim={dim} and momentum={momentum}"
            )
        self.momentum = momentum
        self._center = torch.zeros(dim)
        self._pending: tuple[Tensor, dist.Work | None] | None = None

    @property
    def center(self) -> Tensor:
        """The average after the last update, (K,), at least float32."""
        self.finish()
        return self._center

    def probabilities(self, logits: Tensor, temperature: float) -> Tensor:
        """Return the targets, ``softmax((logits - center) / temperature)``.

        Args:
            logits: The teacher's outputs, (..., K).
            temperature: > 0. Smaller values give sharper targets.

        Returns:
            (..., K), at least float32, no gradient.
        """
        with torch.no_grad(), no_autocast(logits.device):
            center = self.center.to(logits.device)
            return F.softmax((single(logits) - center) / temperature, dim=-1)

    @torch.no_grad()
    def update(self, logits: Tensor, counted: Tensor | None = None) -> None:
        """Add a step's outputs to the average.

        Args:
            logits: (..., K). The number of rows may differ among processes, and may be 0. If no
                process has rows, the centre does not change.
            counted: Rows to include, (...) bool. None includes all.
        """
        self.finish()
        rows = logits.detach().reshape(-1, logits.shape[-1])  # (R, K)
        dtype = torch.promote_types(rows.dtype, torch.float32)
        if counted is None:
            count = torch.full((1,), len(rows), dtype=dtype, device=rows.device)
        else:
            counted = counted.reshape(-1, 1)  # (R, 1)
            rows, count = rows.masked_fill(~counted, 0), counted.sum(dim=0).to(dtype)
        # The sum converts on the fly: R counts patches, and R x K in single precision is large.
        total = torch.cat([rows.sum(dim=0, dtype=dtype), count])  # (K + 1,)
        work = dist.all_reduce(total, async_op=True) if world_size() > 1 else None
        self._pending = (total, work)

    @torch.no_grad()
    def finish(self) -> None:
        """Wait for the last update if it is still running."""
        if self._pending is None:
            return
        (total, work), self._pending = self._pending, None
        if work is not None:
            work.wait()
        mean = total[:-1] / total[-1].clamp(min=1)  # (K,)
        # Not in the default dtype, which a run in float64 or bfloat16 changes for its steps only.
        weight = (1 - self.momentum) * (total[-1] > 0).to(mean)
        self._center = torch.lerp(self._center.to(mean), mean, weight)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the centre for the state dict."""
        return {"center": self.center}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Load a centre that `get_extra_state` returned.

        Raises:
            ValueError: Its number of outputs differs.
        """
        center = state["center"]
        if center.shape != self._center.shape:
            raise ValueError(
                f"the saved centre has {len(center)} numbers, expected {len(self._center)}"
            )
        self._pending = None
        # Copied, since the other centre may still be in use, and in its own precision.
        self._center = center.to(self._center.device, copy=True)
