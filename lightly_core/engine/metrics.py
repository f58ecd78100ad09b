"""Collect the scalars of training steps on the device, and read them once per interval."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import Strategy
from torch import Tensor


class MetricBuffer:
    """Sums of metrics since the last reading; adding never waits for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Add the scalars of one step."""
        for name, value in metrics.items():
            if isinstance(value, Tensor):
                value = value.detach().float()
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Return the means since the last call and reset. Waits for the device once."""
        names = list(self._sums)
        on_device = [name for name in names if isinstance(self._sums[name], Tensor)]
        values: dict[str, float] = {}
        if on_device:
            stacked = torch.stack([torch.as_tensor(self._sums[name]) for name in on_device])
            values = dict(zip(on_device, stacked.tolist(), strict=True))
        means = {
            name: values.get(name, _plain(self._sums[name])) / self._counts[name] for name in names
        }
        self._sums, self._counts = {}, {}
        return means

    def state(self) -> dict[str, tuple[float, int]]:
        """Return sums and counts as plain numbers, for a checkpoint."""
        return {name: (float(total), self._counts[name]) for name, total in self._sums.items()}

    def load(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Restore sums and counts."""
        self._sums = {name: total for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


def mean_state(
    state: dict[str, tuple[float, int]], strategy: Strategy, device: torch.device
) -> dict[str, tuple[float, int]]:
    """Return the mean of all processes' `MetricBuffer.state`, with which any number can go on.

    Args:
        state: That of this process.
        strategy: Reduces over the processes, each of which must call this.
        device: Device of this process.
    """
    if not (dist.is_available() and dist.is_initialized() and state):
        return state
    totals = [total for total, _ in state.values()]
    values = torch.tensor(totals, dtype=torch.float64, device=device)
    means = strategy.reduce(values, reduce_op="mean").tolist()
    counts = [count for _, count in state.values()]
    return dict(zip(state, zip(means, counts, strict=True), strict=True))


def _plain(value: Tensor | float) -> float:
    # Tensors have been read together already; reading them one by one would wait for each.
    return 0.0 if isinstance(value, Tensor) else value
