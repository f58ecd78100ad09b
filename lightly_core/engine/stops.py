"""Handlers of the signals that stop a run, before, during and after training."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from lightly_core.data.signals import stop_signals
from lightly_core.errors import RunInterrupted

logger = logging.getLogger(__name__)

#: Seconds that processes of further devices have to end after the first has saved.
_SECONDS_TO_END = 20.0
#: A user's or a library's own handler of these is left in place, and so is `nohup`.
_ONLY_IF_UNUSED = ("SIGUSR1", "SIGHUP")


class Stops:
    """Context manager that handles signals during a run.

    During training, the first signal sets `asked`, and the run saves and stops after the step. A
    second Ctrl-C, and any signal before and after training, raise RunInterrupted at once. Only the
    main thread can handle signals. In other threads nothing happens.

    Attributes:
        asked: Whether a signal came while the run trained.
    """

    def __init__(self) -> None:
        self.asked = False
        self._training = False
        self._raised = False
        self._pressed = 0
        self._launcher: object = None
        self._ending: list[subprocess.Popen[bytes]] = []
        self._advice = "stopped before training; nothing was saved"
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stops:
        """Listen."""
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
        """Give the signals back, and leave no process behind that Lightning has started."""
        if isinstance(error, RunInterrupted):
            _end(self._ending, self._children())
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def listen(self) -> None:
        """Listen again, after a library has set handlers of its own."""
        for number in self._previous:
            signal.signal(number, self._on_signal)

    def watch(self, launcher: object) -> None:
        """Note what starts the processes of further devices.

        Args:
            launcher: Lightning's; its ``procs`` are those that it has started so far.
        """
        self._launcher = launcher

    def _children(self) -> list[subprocess.Popen[bytes]]:
        return getattr(self._launcher, "procs", [])

    def begin_training(self) -> None:
        """From now on let steps be finished."""
        if not self._training:
            self.listen()
            self._training = True

    def end_training(self, advice: str) -> None:
        """From now on stop at once again.

        Args:
            advice: Message of the error then.
        """
        self._training, self._advice = False, advice

    def let_children_end(self) -> None:
        """Say that processes of further devices end by themselves from now on.

        Lightning kills this process when it sees one of them ended with another code than 0.
        """
        children = self._children()
        self._ending = list(children)
        children.clear()  # the very list that Lightning looks at

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._pressed += number == signal.SIGINT
        if not self._training:
            if self._raised and number != signal.SIGINT:
                return  # on the way out already
            self._raised = True
            raise RunInterrupted(self._advice)
        if self.asked:
            if number == signal.SIGINT and self._pressed > 1:
                self.end_training("stopped at once; steps since the last checkpoint are lost")
                raise RunInterrupted(self._advice)
            return
        self.asked = True
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


def _end(
    ending: Sequence[subprocess.Popen[bytes]], others: Sequence[subprocess.Popen[bytes]]
) -> None:
    for process in others:
        process.kill()
    for process in ending:
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
