"""Signals that stop a run, and why loader workers do not hear them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from types import FrameType

#: Ctrl-C; what `kill`, service managers and batch systems send; their warning before it; a terminal
#: that goes away. Windows has the first two only.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
#: Before multiprocessing ends its children and waits for them, which is 0; the highest comes first.
_EXIT_PRIORITY = 100
#: Numbers of all workers that this program has started, and the process that will end them.
_pids: set[int] = set()
_registered_by: int | None = None


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a run, as far as this system has them."""
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


@contextmanager
def held_back(start_method: str) -> Iterator[None]:
    """Hold the signals back while workers are started, in this thread and in the workers.

    A worker lets them through once it has `leave_stopping_to_the_main_process`. Until then, which
    takes seconds where it imports torch first, a signal to the whole process group would end it.

    Args:
        start_method: How workers are started: ``fork``, ``spawn`` or ``forkserver``.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if start_method == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()  # serves all of the program, so its children shall hear signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    try:
        if start_method != "fork":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()
            # Where it starts the tracker, Python lets two signals through afterwards.
            signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_stopping_to_the_main_process() -> None:
    """Ignore the signals, in a worker.

    They may reach all processes of a group or of a container at once. Only the main process can
    save; it ends its workers afterwards, see `end_at_exit`. But for Ctrl-C a handler that does
    nothing is set: programs that a worker starts would go on ignoring a signal.
    """
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else _do_nothing)
        if hasattr(signal, "siginterrupt"):
            signal.siginterrupt(number, False)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop_signals())


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass


def end_at_exit(workers: Iterable[BaseProcess]) -> None:
    """Have workers killed that are still there when the program ends.

    Python sends them SIGTERM then, which they ignore, and waits. A loader that is given up before
    ends its workers itself.
    """
    global _registered_by
    _pids.update(worker.pid for worker in workers if worker.pid is not None)
    if _registered_by != os.getpid():
        Finalize(None, _end_workers, exitpriority=_EXIT_PRIORITY)
        _registered_by = os.getpid()


def _end_workers() -> None:
    workers = [process for process in active_children() if process.pid in _pids]
    if workers and hasattr(signal, "SIGCHLD"):
        with suppress(ValueError):  # another thread than the main one ends the program
            # torch's handler would report them as killed by somebody else.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
