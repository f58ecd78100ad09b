"""A DataLoader of torch that handles signals and reports wrong `loader_args`."""

from __future__ import annotations

import gc
import inspect
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from lightly_core.config.reading.child import refuse_unguarded
from lightly_core.data.sampler import StepSampler
from lightly_core.data.signals import (
    ask_for_ended_workers,
    end_at_exit,
    ignore_stop_signals,
    signals_blocked,
)
from lightly_core.errors import ConfigError, did_you_mean

T = TypeVar("T")

#: Arguments that follow from other settings.
_RESERVED = frozenset(
    ("dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last", "collate_fn")
)


class Loader(DataLoader[T]):
    """A DataLoader whose workers ignore stop signals, which the main process handles."""

    def __iter__(self) -> Any:  # noqa: ANN401 - torch's iterators are private
        """Start the workers if they are not running yet."""
        if not self.num_workers:
            return super().__iter__()
        self.check_start()
        ask_for_ended_workers()
        known = getattr(self._iterator, "_workers", None)
        with signals_blocked(self._start_method()), _left_out_by_collectors():
            iterator = super().__iter__()
        workers = getattr(iterator, "_workers", ())
        if workers is not known:
            end_at_exit(workers)
        return iterator

    def check_start(self) -> None:
        """Refuse to start workers that would run the caller's script again.

        Raises:
            ConfigError: The script has no ``if __name__ == "__main__"`` guard.
        """
        if self.num_workers:
            refuse_unguarded(self._start_method())

    def _start_method(self) -> str:
        context = self.multiprocessing_context or multiprocessing
        return str(context.get_start_method())


class EpochsLoader(Loader[T]):
    """A loader whose workers begin with the next epoch while the last batches of one are used.

    At the start of an epoch a training step then need not wait until a worker has made a batch. If
    the sampler was set to another place than that where the last iteration ended, as after an epoch
    that was left early, workers drop what they have made and begin there.

    Attributes:
        end_epoch: Epoch at which workers stop.
    """

    end_epoch = 0
    _next: tuple[int, int] | None = None

    def __iter__(self) -> Any:  # noqa: ANN401 - torch's iterators are private
        """Return the batches of the sampler's epoch."""
        sampler = self.batch_sampler
        if not (isinstance(sampler, StepSampler) and self.num_workers and self.persistent_workers):
            return super().__iter__()
        place = sampler.place
        if self._iterator is None or self._next != place:
            sampler.end_epoch = self.end_epoch
            super().__iter__()
        self._next = place
        return self._epoch(self._iterator, *place)

    def _epoch(self, batches: Any, epoch: int, first: int) -> Iterator[Any]:  # noqa: ANN401
        size = len(self)
        for batch in range(first, size):
            # Set before a batch is used: the one who iterates need not ask for the end.
            self._next = (epoch, batch + 1) if batch + 1 < size else (epoch + 1, 0)
            yield next(batches)


@contextmanager
def _left_out_by_collectors() -> Iterator[None]:
    """Keep the garbage collectors of forked workers away from the objects of this process.

    A collector writes to every object that it visits, and a page that is written to is copied.
    """
    if gc.get_freeze_count():  # somebody else uses this
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def make_loader(
    dataset: Dataset[T],
    collate_fn: Callable[[Any], Any],
    *,
    num_workers: int,
    loader_args: Mapping[str, Any] | None = None,
    batch_sampler: Iterable[list[Any]] | None = None,
    batch_size: int = 1,
    end_epoch: int | None = None,
) -> DataLoader[T]:
    """Build a loader whose workers persist between epochs and ignore stop signals.

    Args:
        dataset: The samples.
        collate_fn: Combines samples into a batch.
        num_workers: Worker processes; 0 loads in this one.
        loader_args: The user's arguments; they override the defaults set here.
        batch_sampler: Yields the keys of each batch; None: all positions in order.
        batch_size: Samples of one batch without a `batch_sampler`.
        end_epoch: Number of the last epoch plus 1, for workers that go on with the next epoch; see
            `EpochsLoader`. None: they wait at the end of each.

    Raises:
        ConfigError: `loader_args` has an unknown or reserved name, or an invalid value.
    """
    given = dict(loader_args or {})
    problems = [text for name in given if (text := _name_problem(name))]
    if problems:
        raise ConfigError.of([f"config.loader_args.{text}" for text in problems])
    arguments: dict[str, Any] = {
        "persistent_workers": num_workers > 0,
        # By default each iteration samples a seed from the global generator, which would change
        # all later random numbers.
        "generator": torch.Generator(),
        **given,
        "worker_init_fn": partial(_start_worker, given.get("worker_init_fn")),
    }
    size = (
        {"batch_sampler": batch_sampler}
        if batch_sampler is not None
        else {"batch_size": batch_size}
    )
    loader_class: type[Loader[T]] = Loader if end_epoch is None else EpochsLoader
    try:
        loader = loader_class(
            dataset, num_workers=num_workers, collate_fn=collate_fn, **size, **arguments
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.loader_args: {error}") from error
    if isinstance(loader, EpochsLoader):
        loader.end_epoch = end_epoch or 0
    return loader


def _name_problem(name: str) -> str | None:
    if name == "num_workers":
        return "num_workers: use the setting num_workers"
    if name in _RESERVED:
        return f"{name}: is set by the run and cannot be changed; remove it"
    known = set(inspect.signature(DataLoader.__init__).parameters) - {"self", *_RESERVED}
    if name in known:
        return None
    remedy = did_you_mean(name, known) or f"known: {', '.join(sorted(known))}"
    return f"{name}: unknown argument of torch's DataLoader, {remedy}"


def _start_worker(then: Callable[[int], None] | None, worker: int) -> None:
    """Prepare a worker process; torch already limits it to one thread."""
    ignore_stop_signals()
    if then is not None:
        then(worker)
