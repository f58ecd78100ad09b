"""Signals that stop a run. Loader workers ignore them, and the main process handles them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from types import FrameType

#: Ctrl-C; the default of `kill`, service managers and batch systems; the warning that batch
#: systems send before it; a closed terminal. Windows has only the first two.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
#: Runs before multiprocessing, with priority 0, ends and joins its children; the highest is first.
_EXIT_PRIORITY = 100
#: Ids of all workers that this program has started, and of the process that will end them.
_pids: set[int] = set()
_registered_by: int | None = None


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a run and exist on this system."""
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


@contextmanager
def signals_blocked(start_method: str) -> Iterator[None]:
    """Block the signals in this thread and in its new workers while they are started.

    A worker unblocks them in `ignore_stop_signals`. Until then, which takes seconds if it imports
    torch first, a signal to the whole process group would end it.

    Args:
        start_method: How workers are started: ``fork``, ``spawn`` or ``forkserver``.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if start_method == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()  # shared by the whole program, so it must not block signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    try:
        if start_method != "fork":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()
            # Python unblocks two signals when it starts the tracker.
            signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_stop_signals() -> None:
    """Ignore the signals in a worker.

    They may reach all processes of a group or of a container at once. Only the main process can
    save. It ends its workers afterwards, see `end_at_exit`. Except for Ctrl-C an empty handler is
    set instead of SIG_IGN, which programs started by a worker would inherit.
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
    """Kill workers that are still running when the program ends.

    Python would send them SIGTERM, which they ignore, and wait. A loader that is deleted earlier
    ends its workers itself.
    """
    global _registered_by
    _pids.update(worker.pid for worker in workers if worker.pid is not None)
    if _registered_by != os.getpid():
        Finalize(None, _end_workers, exitpriority=_EXIT_PRIORITY)
        _registered_by = os.getpid()


def ask_for_ended_workers() -> None:
    """Let torch set its handler of SIGCHLD again if a library has removed it.

    The handler raises an error that says which signal ended a worker. torch sets it with the first
    workers of a program and never again, and Lightning puts back the handlers of before at the end
    of each training. Without it, a worker's end is noticed seconds later and its signal is unknown.
    """
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
        from torch.utils.data._utils import signal_handling

        signal_handling._SIGCHLD_handler_set = False


def _end_workers() -> None:
    workers = [process for process in active_children() if process.pid in _pids]
    if workers and hasattr(signal, "SIGCHLD"):
        with suppress(ValueError):  # raised outside of the main thread
            # torch's handler would report the killed workers as an error.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
