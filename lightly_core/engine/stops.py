"""Handlers of the signals that stop a run, before, during and after training."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from lightly_core.data.signals import stop_signals
from lightly_core.errors import RunInterrupted

logger = logging.getLogger(__name__)

#: Seconds in which processes of other devices must end after the first has saved or failed. They
#: notice a failure within two seconds, and then have ten to leave the training.
_SECONDS_TO_END = 30.0
#: Not handled if the user, a library or `nohup` has set a handler.
_ONLY_IF_UNUSED = ("SIGUSR1", "SIGHUP")


class Stops:
    """Context manager that handles signals during a run.

    During training, the first signal sets `requested`, and the run saves and stops after the step.
    A second Ctrl-C, and any signal before and after training, raise RunInterrupted at once. Only
    the main thread can handle signals. In other threads nothing happens.

    Args:
        requeue: Called after a stop by any signal but Ctrl-C, when all processes have ended.

    Attributes:
        requested: Whether a signal came while the run trained.
        by_ctrl_c: Whether Ctrl-C was among the signals, of this process or of another one.
    """

    def __init__(self, requeue: Callable[[], None] | None = None) -> None:
        self.requested = False
        self.by_ctrl_c = False
        self._requeue = requeue
        self._training = False
        self._raised = False
        self._num_interrupts = 0
        self._owner: object = None
        self._ending: list[subprocess.Popen[bytes]] = []
        self._message = "stopped before training; nothing was saved"
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stops:
        """Set the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in stop_signals():
                before = signal.getsignal(number)
                if number.name not in _ONLY_IF_UNUSED or before is signal.SIG_DFL:
                    self._previous[number] = before
        self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handlers; after a stop or an error, end the processes of other devices."""
        if isinstance(error, RunInterrupted):
            _end_processes(self._ending, self._children())
            if self._requeue is not None and not self.by_ctrl_c:
                self._requeue()
        elif error is not None:
            _end_processes([*self._ending, *self._children()], [])
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def listen(self) -> None:
        """Set the handlers again, after a library has replaced them."""
        for number in self._previous:
            signal.signal(number, self._on_signal)

    def watch(self, owner: object) -> None:
        """Keep the owner of the processes of other devices.

        Args:
            owner: Its ``procs`` are the processes started so far.
        """
        self._owner = owner

    def _children(self) -> list[subprocess.Popen[bytes]]:
        return getattr(self._owner, "procs", [])

    def begin_training(self) -> None:
        """After a signal, finish the step from now on."""
        if not self._training:
            self.listen()
            self._training = True

    def end_training(self, message: str) -> None:
        """After a signal, stop at once from now on.

        Args:
            message: Message of the error.
        """
        self._training, self._message = False, message

    def let_children_end(self) -> None:
        """Let the processes of other devices end by themselves from now on, with any exit code."""
        children = self._children()
        self._ending = list(children)
        children.clear()  # the list that is watched

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._num_interrupts += number == signal.SIGINT
        self.by_ctrl_c |= number == signal.SIGINT
        if not self._training:
            if self._raised and number != signal.SIGINT:
                return  # is stopping already
            self._raised = True
            raise RunInterrupted(self._message)
        if self.requested:
            if number == signal.SIGINT and self._num_interrupts > 1:
                self.end_training("stopped at once; steps since the last checkpoint are lost")
                raise RunInterrupted(self._message)
            return
        self.requested = True
        logger.info("Stopping after this step. Press Ctrl-C again to stop at once, unsaved.")


@contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Let other signals raise KeyboardInterrupt too, so that partial results are removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    unused = [number for number in stop_signals() if signal.getsignal(number) is signal.SIG_DFL]
    if is_main:
        for number in unused:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        if is_main:
            for number in unused:
                signal.signal(number, signal.SIG_DFL)


def _end_processes(
    ending: Sequence[subprocess.Popen[bytes]], others: Sequence[subprocess.Popen[bytes]]
) -> None:
    for process in others:
        process.kill()
    for process in ending:
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
