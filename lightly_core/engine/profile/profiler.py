"""Divides the time of training among the parts of a step.

Lightning tells its profiler when each hook of the module, the strategy and the callbacks starts and
stops. Time belongs to the innermost hook that has a part, and to `rest` in all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from attrs import define
from lightning.pytorch.profilers import Profiler

Part: TypeAlias = Literal[
    "data", "transfer", "views", "forward", "backward", "update", "rest", "between"
]
PARTS: tuple[Part, ...] = get_args(Part)

#: Batches at the start of a run that are left out: they start workers and allocate memory.
WARMUP = 3
#: On devices that compute asynchronously, this many batches of every 100 are profiled.
SYNCHRONISED, _OF = 10, 100
_BLOCK = range(WARMUP, WARMUP + SYNCHRONISED)

#: Lightning's action around all batches of an epoch.
_EPOCH = "run_training_epoch"

#: The part of each hook of the module and the strategy.
_HOOKS: dict[str, Part] = {
    "train_dataloader_next": "data",
    "batch_to_device": "transfer",
    "on_after_batch_transfer": "views",
    "training_step": "forward",
    "backward": "backward",
    "optimizer_step": "update",
    "optimizer_zero_grad": "update",
    "lr_scheduler_step": "update",
    "on_before_optimizer_step": "rest",
}
#: Callbacks with another part at the end of a batch, by class name.
_AT_BATCH_END: dict[str, Part] = {
    "FinishBatch": "update",
    "CheckpointCallback": "between",
    "InterruptCallback": "between",
    "ReportCallback": "between",
}


@define
class Sums:
    """Seconds of each part, and the number of batches over which they were added up.

    Attributes:
        seconds: Seconds by part.
        profiled: Batches whose parts are in `seconds`.
        batches: Batches since the sums began. Those between epochs belong to all of them.
    """

    seconds: dict[Part, float]
    profiled: int = 0
    batches: int = 0

    def mean(self) -> dict[Part, float]:
        """Return the seconds of each part a batch; `between` is divided by all batches."""
        counts = {part: self.batches if part == "between" else self.profiled for part in PARTS}
        return {part: self.seconds[part] / max(counts[part], 1) for part in PARTS}


class StepProfiler(Profiler):
    """A profiler of Lightning that adds up seconds by part, from the first batch to the last.

    Args:
        synchronise: Waits for the device, which computes asynchronously. It is called at the
            borders of the parts in `SYNCHRONISED` of 100 batches, and only these are profiled.
            None: there is no need to wait, and every batch is profiled.
        clock: Returns seconds.

    Attributes:
        sums: What was added up so far.
        profiling: Whether the current batch is profiled.
    """

    def __init__(
        self,
        synchronise: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self._synchronise = synchronise
        self._clock = clock
        self._parts: dict[str, Part | None] = {}
        self._stack: list[Part] = []
        self._since = 0.0
        self._fetched = 0
        self.sums = _no_sums()
        self.profiling = False

    def start(self, action_name: str) -> None:
        """Begin a part if the hook has one."""
        if action_name.endswith(".on_train_end"):
            self._enter(None)
            return
        if action_name == _EPOCH:
            self._enter("data")  # until its first batch arrives
            self._choose()
            return
        part = self._part(action_name)
        if part is None or not self._stack:
            return
        self._switch()
        self._stack.append(part)
        if part == "data":
            self._choose()

    def stop(self, action_name: str) -> None:
        """End a part if the hook has one."""
        if action_name == _EPOCH:
            self._enter("between")
            return
        part = self._part(action_name)
        if part is None or not self._stack:
            return
        self._switch()
        self._stack.pop()
        if part == "data":
            self._stack[0] = "rest"
            self._fetched += 1
            self.sums.batches += 1
            self.sums.profiled += self.profiling

    def _enter(self, part: Part | None) -> None:
        """Leave all hooks; None: what follows does not count."""
        self._switch()
        self._stack = [] if part is None else [part]

    def _part(self, action: str) -> Part | None:
        if action not in self._parts:
            self._parts[action] = part_of(action)
        return self._parts[action]

    def _switch(self) -> None:
        """Add the time since the last call to the current part."""
        if self.profiling and self._synchronise is not None:
            self._synchronise()
        now = self._clock()
        if self._stack and (self.profiling or self._stack[-1] == "between"):
            self.sums.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def _choose(self) -> None:
        """Choose whether the batch that is fetched next is profiled."""
        if self._fetched == WARMUP and self.sums.batches == WARMUP:
            self.sums = _no_sums()
        before = self.profiling
        self.profiling = self._synchronise is None or self._fetched % _OF in _BLOCK
        if self.profiling and not before and self._synchronise is not None:
            self._synchronise()
            self._since = self._clock()


def part_of(action: str) -> Part | None:
    """Return the part of a step of one of Lightning's actions; None: that of the enclosing one.

    Args:
        action: Such as ``[Strategy]SingleDeviceStrategy.backward``.
    """
    owner, _, hook = action.rpartition(".")
    kind, _, name = owner.partition("]")
    if kind == "[Callback" and hook == "on_train_batch_end":
        return _AT_BATCH_END.get(name.partition("{")[0])
    return _HOOKS.get(hook)


def waits_for(device_type: str) -> Callable[[], None] | None:
    """Return the function that waits for a kind of device; None for CPUs."""
    if device_type in ("gpu", "cuda"):
        return torch.cuda.synchronize
    if device_type == "mps":
        return torch.mps.synchronize
    return None


def _no_sums() -> Sums:
    return Sums(dict.fromkeys(PARTS, 0.0))
