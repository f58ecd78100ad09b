"""The largest batch that fits into the memory of a device, found by trying."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import torch
from attrs import frozen
from torch.optim import Optimizer

from lightly_core.config.auto.resolve import Resolved
from lightly_core.contracts import Sample
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import TrainingDataset, collate
from lightly_core.engine.build import BuiltRun

#: Steps that are taken with each batch size: the first allocates the state of the optimizer.
_STEPS = 2
#: Steps that are timed.
_TIMED = 5
#: Different images of a batch; they are repeated.
_IMAGES = 16
#: The search ends when the largest batch is known to this fraction.
_EXACT = 1 / 16
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
_WEIGHTS = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


@frozen
class Largest:
    """What the search for the largest batch has found.

    Attributes:
        fits: The largest batch size that was tried and fits; None: a batch of one does not fit.
        fails: The smallest that was tried and does not fit; None: all that were tried fit.
    """

    fits: int | None
    fails: int | None


def largest_batch(fits: Callable[[int], bool], first: int, most: int) -> Largest:
    """Find the largest batch size that fits: by doubling or halving, then by bisection.

    Args:
        fits: Returns whether a batch of this size fits. Larger batches than one that does not fit
            are not tried.
        first: The size that is tried first, at least 1.
        most: The largest size that is tried.
    """
    size = min(first, most)
    low: int | None = None
    high: int | None = None
    while low is None or high is None:
        if fits(size):
            low = size
            if size >= most:
                return Largest(low, None)
            size = min(2 * size, most) if high is None else size
        else:
            high = size
            if size == 1:
                return Largest(None, 1)
            size = size // 2 if low is None else size
    while high - low > max(1, int(low * _EXACT)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Largest(low, high)


class BatchTrial:
    """Trains a network with batches of any size on one device.

    Args:
        built: The modules of a run.
        resolved: Settings without "auto".
        source: The images, of which some are repeated to fill a batch.
        device: Where it trains.
    """

    def __init__(
        self, built: BuiltRun, resolved: Resolved, source: ImageSource, device: torch.device
    ) -> None:
        self._device = device
        self._resolved = resolved
        self._module = built.module
        precision = str(resolved.run.precision)
        self._autocast = _AUTOCAST.get(precision)
        self._module.to(device=device, dtype=_WEIGHTS.get(precision))
        self._optimizer = self._make_optimizer()
        self._samples = self._load(source)
        self._step = 0

    def fits(self, batch_size: int) -> bool:
        """Return whether training with a batch of this size does not run out of memory."""
        fitted = True
        try:
            self._train(batch_size, _STEPS)
        except torch.OutOfMemoryError:
            fitted = False
        self._free()  # here, as the error would keep the tensors of its frames
        return fitted

    def images_per_second(self, batch_size: int) -> float:
        """Return how many images the network trains on in a second, without waiting for data."""
        self._train(batch_size, _STEPS)
        seconds = self._timed(batch_size, _TIMED)
        self._free()
        return batch_size * _TIMED / seconds

    def images_per_second_within(self, most: int, seconds: float) -> float:
        """Return the same as `images_per_second`, in about a given time, if a small batch allows.

        The time of a small batch decides how many of the images of a batch are taken.

        Args:
            most: Images of a batch of the run.
            seconds: Time to spend.
        """
        size = min(most, _IMAGES)
        self._train(size, _STEPS)
        per_image = self._timed(size, 1) / size
        size = max(size, min(most, int(seconds / (_STEPS * per_image))))
        steps = max(1, min(_TIMED, int(seconds / (size * per_image))))
        if size > _IMAGES:
            self._train(size, 1)
        rate = steps * size / self._timed(size, steps)
        self._free()
        return rate

    def _timed(self, batch_size: int, steps: int) -> float:
        """Return the seconds of some steps."""
        self._wait()
        started = time.perf_counter()
        self._train(batch_size, steps)
        self._wait()
        return time.perf_counter() - started

    def _train(self, batch_size: int, steps: int) -> None:
        samples = self._samples * -(-batch_size // len(self._samples))
        raw = collate(samples[:batch_size]).to(self._device)
        kind = self._device.type
        autocast = torch.autocast(kind, self._autocast) if self._autocast else nullcontext()
        for _ in range(steps):
            batch = self._module.on_after_batch_transfer(raw, 0)
            method = self._module.method
            with autocast:
                loss = method.training_step(batch, self._step).loss
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                method.before_step(self._step)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._step += 1
            with torch.no_grad():
                method.after_step(self._step)

    def _make_optimizer(self) -> Optimizer:
        chosen = cast("dict[str, Any]", self._module.configure_optimizers())
        return cast(Optimizer, chosen["optimizer"])

    def _load(self, source: ImageSource) -> list[Sample]:
        transform, method = self._module.transform, self._module.method
        period = self._resolved.method.view_period()
        images = TrainingDataset(source, transform, 0, period, method.sample_extras())
        return [images[(0, index)] for index in range(min(_IMAGES, len(source)))]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _free(self) -> None:
        """Return the memory of the last batch, also after an error."""
        self._optimizer.zero_grad()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
