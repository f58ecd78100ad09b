"""The thread that sends the records of a run to a server, for as long as the server takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from lightly_core.config.auto.secrets import without_secrets
from lightly_core.data.names import harmless
from lightly_core.engine.remote.destination import Destination, RecordRefused
from lightly_core.engine.remote.outbox import Outbox
from lightly_core.engine.remote.records import (
    Artifact,
    Config,
    Finish,
    Image,
    Metrics,
    Model,
    Record,
)

log = logging.getLogger(__name__)

#: Seconds to the next attempt after the first, second, ... failure in a row. The last repeats.
DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
#: Seconds between two looks at the file, so that rows are sent together.
_LINGER = 1.0
#: Longest text of a server that is repeated in a message.
_LONGEST_REASON = 300

_Line = tuple[bytes, "Record | None"]


class Sender:
    """Sends the records in an outbox, in order, in a daemon thread.

    A failure is followed by another attempt, with growing pauses. The first failure gives a
    warning, the next ones do not.

    Args:
        name: Name of the logger, for messages.
        outbox: Where the records are.
        destination: Where they go.
    """

    def __init__(self, name: str, outbox: Outbox, destination: Destination) -> None:
        self._name = name
        self._outbox = outbox
        self._destination = destination
        self._changed = threading.Condition()
        self._is_open = False
        self._failures = 0
        self._has_warned = False
        self._has_warned_refused = False
        self._ending = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: Reason of the last failure; empty after a success.
        self.failure = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"send to {self._name}", daemon=True)
        self._thread.start()

    def finish(self, seconds: float, on_wait: Callable[[int], None]) -> None:
        """Wait until everything is sent, then stop the thread.

        A server that was away before gets one more attempt. Otherwise the wait ends after `seconds`
        in which the server accepted nothing.

        Args:
            seconds: Longest time without a success.
            on_wait: Called once with the number of waiting records, if the wait is longer than two
                seconds.
        """
        was_away, attempts = self._failures > 0, self._failures
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        began = latest = time.monotonic()
        waiting, has_said = self._outbox.num_waiting, False
        try:
            while (left := self._outbox.num_waiting) > 0:
                now = time.monotonic()
                if left < waiting:
                    waiting, latest, was_away = left, now, False
                if now - latest >= seconds or (was_away and self._failures > attempts):
                    break
                if now - began > 2 and not has_said:
                    has_said = True
                    on_wait(left)
                with self._changed:
                    self._changed.wait(0.1)
        finally:
            self._stop.set()
            with self._changed:
                self._changed.notify_all()
        if self._thread is not None and self._outbox.num_waiting == 0:
            self._thread.join(timeout=2)  # it closes the destination

    def send_all(self) -> bool:
        """Send everything in this thread, and stop at the first failure.

        Returns:
            Whether the server accepted all records that it did not refuse.
        """
        self._has_warned = True  # the caller shows the reason
        while self._outbox.num_waiting > 0:
            if not self._attempt():
                return False
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                self._changed.wait(self._pause())
            if self._stop.is_set():
                break
            self._attempt()
            with self._changed:
                self._changed.notify_all()
        try:
            self._destination.close()
        except Exception:
            log.debug("Logger '%s' cannot be closed.", self._name, exc_info=True)

    def _pause(self) -> float:
        if self._failures:
            pause = DELAYS[min(self._failures, len(DELAYS)) - 1]
            return min(pause, DELAYS[0]) if self._ending else pause
        return 0.0 if self._ending and self._outbox.num_waiting else _LINGER

    def _attempt(self) -> bool:
        """Send what is in the outbox. Return False after a failure."""
        try:
            if not self._is_open:
                self._open()
            self._send(self._outbox.read())
        except Exception as error:  # whatever the libraries of servers raise
            self._failed(error)
            return False
        return True

    def _open(self) -> None:
        identity = {
            key: str(value)
            for key, value in self._outbox.state.items()
            if isinstance(value, (str, int))
        }
        self._outbox.save_state(self._destination.open(identity))
        self._is_open = True
        log.info("Logger '%s' sends to %s", self._name, self._destination.address)

    def _send(self, lines: Sequence[_Line]) -> None:
        for group in _groups(lines):
            if self._stop.is_set():
                return
            try:
                self._send_group([record for _, record in group])
            except RecordRefused as refusal:
                if len(group) > 1:
                    self._send_single(group)
                    continue
                self._refuse(group[0][0], str(refusal))
                continue
            for line, _ in group:
                self._outbox.done(line)
            self._succeeded()
        if lines:
            self._outbox.save_state({"last_step": str(self._last_step(lines))})

    def _last_step(self, lines: Sequence[_Line]) -> int:
        steps = [r.step for _, r in lines if isinstance(r, Metrics) and r.is_repeated]
        return max(steps, default=int(str(self._outbox.state.get("last_step", -1))))

    def _send_single(self, group: Sequence[_Line]) -> None:
        for line, record in group:
            try:
                self._send_group([record])
            except RecordRefused as refusal:
                self._refuse(line, str(refusal))
            else:
                self._outbox.done(line)
        self._succeeded()

    def _send_group(self, records: Sequence[Record | None]) -> None:
        destination, first = self._destination, records[0]
        if isinstance(first, Metrics):
            destination.send_metrics([row for row in records if isinstance(row, Metrics)])
        elif isinstance(first, Config):
            destination.send_config(first)
        elif isinstance(first, Image):
            destination.send_image(first)
        elif isinstance(first, (Artifact, Model)) and not first.path.exists():
            raise RecordRefused(f"'{first.path}' does not exist any more")
        elif isinstance(first, Artifact):
            destination.send_artifact(first)
        elif isinstance(first, Model):
            destination.send_model(first)
        elif isinstance(first, Finish):
            destination.finish(first.status, first.time)
        else:
            raise RecordRefused("the line cannot be read")

    # ------------------------------------------------------------------ messages

    def _refuse(self, line: bytes, reason: str) -> None:
        self._outbox.done(line, refused=True)
        level = logging.DEBUG if self._has_warned_refused else logging.WARNING
        self._has_warned_refused = True
        log.log(
            level,
            "Logger '%s': a record is refused and kept in '%s': %s",
            self._name,
            self._outbox.path,
            _short(reason),
        )

    def _succeeded(self) -> None:
        if self._failures:
            log.info("Logger '%s' reaches the server again.", self._name)
        self._failures, self.failure = 0, ""

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._is_open = False
        self.failure = _short(f"{type(error).__name__}: {error}")
        level = logging.DEBUG if self._has_warned or self._stop.is_set() else logging.WARNING
        self._has_warned = True
        log.log(
            level,
            "Logger '%s' cannot send to %s; the run continues, and records are kept in '%s' until "
            "it can: %s",
            self._name,
            self._destination.address,
            self._outbox.path,
            self.failure,
        )
        log.debug("Logger '%s' cannot send.", self._name, exc_info=True)


def _short(reason: str) -> str:
    text = harmless(" ".join(str(without_secrets(reason)).split()))
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _groups(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """Join rows of metrics that follow each other; everything else stays alone."""
    group: list[_Line] = []
    for line in lines:
        if isinstance(line[1], Metrics):
            group.append(line)
            continue
        if group:
            yield group
            group = []
        yield [line]
    if group:
        yield group
