"""torch's DataLoader with the settings and errors of this package."""

from __future__ import annotations

import inspect
import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from lightly_core.config.reading.child import refuse_unguarded
from lightly_core.data.signals import (
    end_at_exit,
    held_back,
    leave_stopping_to_the_main_process,
)
from lightly_core.errors import ConfigError, did_you_mean

T = TypeVar("T")

#: Arguments that follow from other settings.
_RESERVED = frozenset(
    ("dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last", "collate_fn")
)


class Loader(DataLoader[T]):
    """A DataLoader whose workers leave signals to the main process, from start to end."""

    def __iter__(self) -> Any:  # noqa: ANN401 - torch's iterators are private
        """Start workers where there are none yet."""
        if not self.num_workers:
            return super().__iter__()
        self.check_start()
        known = getattr(self._iterator, "_workers", None)
        with held_back(self._start_method()):
            iterator = super().__iter__()
        workers = getattr(iterator, "_workers", ())
        if workers is not known:
            end_at_exit(workers)
        return iterator

    def check_start(self) -> None:
        """Refuse workers that would run the caller's script again.

        Raises:
            ConfigError: They would.
        """
        if self.num_workers:
            refuse_unguarded(self._start_method())

    def _start_method(self) -> str:
        context = self.multiprocessing_context or multiprocessing
        return str(context.get_start_method())


def make_loader(
    dataset: Dataset[T],
    collate_fn: Callable[[Any], Any],
    *,
    num_workers: int,
    loader_args: Mapping[str, Any] | None = None,
    batch_sampler: Iterable[list[Any]] | None = None,
    batch_size: int = 1,
) -> DataLoader[T]:
    """Build a loader whose workers live as long as it does and leave signals to the main process.

    Args:
        dataset: Gives samples.
        collate_fn: Makes a batch of them.
        num_workers: Worker processes; 0 loads in this one.
        loader_args: The user's arguments; they win over the defaults here.
        batch_sampler: Gives the keys of each batch; None: all positions in order.
        batch_size: Samples of one batch where there is no `batch_sampler`.

    Raises:
        ConfigError: `loader_args` holds a wrong or a reserved name, or a wrong value.
    """
    given = dict(loader_args or {})
    problems = [text for name in given if (text := _name_problem(name))]
    if problems:
        raise ConfigError.of([f"config.loader_args.{text}" for text in problems])
    arguments: dict[str, Any] = {
        "persistent_workers": num_workers > 0,
        # A generator of its own: by default each iteration draws from the global one and so
        # changes all that is random after it.
        "generator": torch.Generator(),
        **given,
        "worker_init_fn": partial(_start_worker, given.get("worker_init_fn")),
    }
    size = (
        {"batch_sampler": batch_sampler}
        if batch_sampler is not None
        else {"batch_size": batch_size}
    )
    try:
        return Loader(dataset, num_workers=num_workers, collate_fn=collate_fn, **size, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.loader_args: {error}") from error


def _name_problem(name: str) -> str | None:
    if name == "num_workers":
        return "num_workers: use the setting num_workers"
    if name in _RESERVED:
        return f"{name}: is set by the run itself and cannot be changed"
    known = set(inspect.signature(DataLoader.__init__).parameters) - {"self", *_RESERVED}
    if name in known:
        return None
    remedy = did_you_mean(name, known) or f"known: {', '.join(sorted(known))}"
    return f"{name}: unknown argument of torch's DataLoader, {remedy}"


def _start_worker(then: Callable[[int], None] | None, worker: int) -> None:
    """Prepare a worker process.

    One thread a worker is torch's own default there.
    """
    leave_stopping_to_the_main_process()
    if then is not None:
        then(worker)
