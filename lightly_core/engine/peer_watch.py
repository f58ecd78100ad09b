"""Ends a process of a run, within a bounded time, when another process of it has failed."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import lightning.pytorch as lightning
import torch.distributed as dist

from lightly_core.engine.folder import RunFolder
from lightly_core.engine.limited import call_within
from lightly_core.engine.peers import Failure, Peers
from lightly_core.engine.peers import Store as SharedStore
from lightly_core.engine.status import record_failure
from lightly_core.errors import RunError, RunInterrupted
from lightly_core.failures import explain, follows_from_another_process, kept_hint

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two signs of life.
INTERVAL = 2.0
#: Seconds without a sign of life after which a process counts as ended.
SILENT_AFTER = 60.0
#: Seconds in which the main thread has to leave the training after another process has failed.
_SECONDS_TO_LEAVE = 10.0
#: The same after its own error, which is being handled.
_SECONDS_TO_FINISH = 60.0
#: Failed accesses to the store, one after another, after which it counts as gone.
_MOST_ERRORS = 3
_MOST_CHARACTERS = 500
#: What an access to the store raises if the store is gone, and if it does not answer.
_NO_STORE = (RuntimeError, TimeoutError)
#: Files of functions that wait for other processes; the second is the backward pass.
_WAITING = ("torch/distributed/", "torch/autograd/graph.py")
#: Counts the runs of this process, which are the same in all processes of a launch.
_runs = itertools.count()


class PeerWatch:
    """Watches the other processes of a run in a thread.

    A collective operation waits for a process that has ended: with gloo until the connection
    breaks, with NCCL until its timeout. When another process has failed, this thread gives the main
    thread time to leave the training by itself. After that it logs the failure, records it in
    `status.json` and ends the process.

    Args:
        folder: The run folder.
        timeout: Seconds without progress of any process after which the run ends.
        leave: Ends the process.
    """

    def __init__(
        self, folder: RunFolder, timeout: float, leave: Callable[[int], object] = os._exit
    ) -> None:
        self._timeout = timeout
        self._silent_after = min(SILENT_AFTER, timeout)
        self._interval = min(INTERVAL, self._silent_after / 5)
        self._folder = folder
        self._leave = leave
        self._trainer: lightning.Trainer | None = None
        self._procs: list[subprocess.Popen[bytes]] = []
        self._peers: Peers | None = None
        self._position, self._phase = 0, "starting"
        self._main = threading.get_ident()
        self._errors = 0
        self._unanswered = False
        self._handles_error = False
        self._left = threading.Event()
        self._found = threading.Event()
        self._failure: Failure | None = None
        self._thread: threading.Thread | None = None

    @property
    def procs(self) -> list[subprocess.Popen[bytes]]:
        """The processes that Lightning has started from this one.

        They are removed from Lightning's launcher. It would kill this process, without a message,
        when one of them has failed.
        """
        launcher = None if self._trainer is None else self._trainer.strategy.launcher
        started: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
        while started:  # Lightning may be adding to it
            self._procs.append(started.pop(0))
        return self._procs

    @contextmanager
    def watching(self, trainer: lightning.Trainer) -> Iterator[None]:
        """Watch in this context. It raises the failure of another process in place of its effects.

        Args:
            trainer: The Trainer. If it has one process, nothing is watched.

        Raises:
            RunError: Another process has failed. The message has its rank and the reason.
        """
        if trainer.world_size == 1:
            yield
            return
        self._trainer, self._main = trainer, threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="lightly-peers", daemon=True)
        self._thread.start()
        try:
            yield
        except BaseException as error:
            self.note(error)
            failure = self._cause_of(error)
            if failure is None:
                raise
            logger.debug("The error that followed from it.", exc_info=error)
            raise RunError(self._record(failure)) from None
        finally:
            self._close()

    def connect(self) -> None:
        """Exchange signs of life from now on. The process group exists.

        Raises:
            RunError: The store of the processes does not answer.
        """
        if not dist.is_initialized() or self._thread is None:
            return
        who = f"{socket.gethostname()}, process ID {os.getpid()}"
        connect = partial(
            Peers,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
            who=who,
            interval=self._interval,
            silent_after=self._silent_after,
            stalled_after=self._timeout,
        )
        try:
            self._peers = self._ask(lambda: connect(_own_store(self._silent_after)))
        except TimeoutError:
            raise RunError(self._text(self._no_answer())) from None

    def progress(self, phase: str) -> None:
        """Note that this process has reached the next phase, which every process goes through.

        Args:
            phase: What it does now, such as "in a step".
        """
        self._phase = phase
        self._position += 1

    def note(self, error: BaseException) -> None:
        """Tell the other processes about an error of this one, unless another has caused it."""
        if self._handles_error:
            return
        self._handles_error = True
        peers = self._peers
        if peers is None:
            return
        with suppress(*_NO_STORE):
            self._ask(partial(_tell, peers, error))

    def _ask(self, function: Callable[[], T]) -> T:
        """Call a function that accesses the store. It may never return.

        torch has timeouts for keys that do not exist yet. It has none for a store that holds the
        connection and does not answer, as that of a process that is stopped.

        Raises:
            TimeoutError: The store does not answer, or has not answered before.
        """
        if self._unanswered:
            raise TimeoutError("the store did not answer before")
        try:
            return call_within(self._silent_after, function)
        except TimeoutError:
            self._unanswered = True
            raise

    # ------------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        while not self._left.wait(self._interval):
            failure = self._look()
            if failure is not None:
                self._failure = failure
                self._found.set()
                self._end(failure)
                return

    def _look(self) -> Failure | None:
        """Return the failure that ends the run, if there is one."""
        peers, failure = self._peers, self._ended_child()
        try:
            if peers is None:
                return failure
            if failure is not None:
                return self._ask(partial(peers.declare, failure))
            sign = (self._position, self._phase, *_place(self._main))
            failure = self._ask(lambda: peers.beat(*sign))
            self._errors = 0
            return failure
        except TimeoutError:
            return failure or self._no_answer()
        except RuntimeError as error:  # what torch raises if the store cannot be reached
            logger.debug("The store of the processes cannot be reached.", exc_info=error)
            self._errors += 1
        if self._errors < _MOST_ERRORS:
            return failure
        return Failure(
            0, "rank 0, or the launcher that connects the processes, has ended or is out of reach"
        )

    def _no_answer(self) -> Failure:
        return Failure(
            0,
            "rank 0, or the launcher that connects the processes, has given no sign of life for "
            f"{self._silent_after:.0f} s: it was killed or stopped, or its machine cannot be "
            "reached",
        )

    def _ended_child(self) -> Failure | None:
        for number, process in enumerate(self.procs):
            code = process.poll()
            if code:
                rank = (self._peers.rank if self._peers is not None else 0) + number + 1
                how = f"ended with exit code {code}; its own output has the reason"
                if code < 0:
                    how = f"was killed by {_signal_name(-code)}"
                    how += ", most often because memory ran out" if -code == 9 else ""
                return Failure(rank, f"rank {rank} (process ID {process.pid}) {how}")
        return None

    def _end(self, failure: Failure) -> None:
        """Give the main thread time to leave the training. Then end the process."""
        deadline = time.monotonic() + _SECONDS_TO_LEAVE
        finish = deadline - _SECONDS_TO_LEAVE + _SECONDS_TO_FINISH
        while time.monotonic() < (finish if self._handles_error else deadline):
            if self._left.wait(min(0.5, _SECONDS_TO_LEAVE)):
                return
        logger.error("%s", self._record(failure))
        for process in self.procs:
            process.kill()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        self._leave(1)

    # ------------------------------------------------------------------ at the end

    def _cause_of(self, error: BaseException) -> Failure | None:
        """Return the failure of another process from which an error follows, or None."""
        if not isinstance(error, Exception) or not follows_from_another_process(error):
            return None
        # The dead process is known after its missing signs, or when its parent has looked.
        self._found.wait(10 * self._interval)
        return self._failure

    def _record(self, failure: Failure) -> str:
        """Write the failure to `status.json`, if this process does so; return the text to show.

        For the first process this is what another one has recorded before, if any.
        """
        rank = 0 if self._peers is None else self._peers.rank
        text, recorded = self._text(failure), ""
        if rank == 0 or (rank == 1 and failure.rank == 0):
            step = 0 if self._trainer is None else self._trainer.global_step
            recorded = record_failure(self._folder.root, text, step)
        return recorded if rank == 0 else text

    def _text(self, failure: Failure) -> str:
        return failure.text + kept_hint(self._folder.last_checkpoint)

    def _close(self) -> None:
        self._left.set()
        if self._peers is not None:
            with suppress(*_NO_STORE):
                self._ask(self._peers.end)
        if self._thread is not None:
            self._thread.join(self._interval)
        self._thread = None


def _own_store(seconds: float) -> SharedStore:
    """Return a connection of its own to the store of the process group."""
    store = dist.distributed_c10d._get_default_store()
    with suppress(AttributeError, RuntimeError):  # a store that cannot be cloned
        store = store.clone()
        store.set_timeout(timedelta(seconds=seconds))
    # A later run in the same processes must not find the signs and failures of this one.
    return dist.PrefixStore(f"lightly/run {next(_runs)}", store)  # type: ignore[attr-defined]


def _tell(peers: Peers, error: BaseException) -> None:
    if follows_from_another_process(error):
        peers.suspect()
    else:
        peers.declare(Failure(peers.rank, f"{peers.name(peers.rank)} {_happened(error)}"))


def _happened(error: BaseException) -> str:
    if isinstance(error, (RunInterrupted, KeyboardInterrupt)):
        return f"was stopped by a signal: {error}"
    text = explain(error) or f"{type(error).__name__}: {error}"
    return f"failed: {text[:_MOST_CHARACTERS]}"


def _place(thread: int) -> tuple[str, bool]:
    """Return the innermost lines of code of a thread, and whether they wait for other processes."""
    frame = sys._current_frames().get(thread)
    lines = traceback.extract_stack(frame, limit=5)[::-1] if frame is not None else []
    waits = any(place in Path(line.filename).as_posix() for place in _WAITING for line in lines)
    text = " < ".join(f"{Path(line.filename).name}:{line.lineno} in {line.name}" for line in lines)
    return text, waits


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
