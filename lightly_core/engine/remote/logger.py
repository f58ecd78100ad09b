"""Base class of loggers that send to a server."""

from __future__ import annotations

import io
import logging
import time
import uuid
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image as PillowImage

from lightly_core.config.auto.secrets import without_secrets
from lightly_core.config.options.fields import plain
from lightly_core.contracts import Logger
from lightly_core.engine.remote.destination import Destination
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
from lightly_core.engine.remote.sender import Sender
from lightly_core.errors import RunInterrupted

log = logging.getLogger(__name__)


class RemoteLogger(Logger):
    """Sends everything to a server, in a thread, and keeps what cannot be sent.

    A server that is away, hangs or fails neither stops nor slows the run. Records go to the file
    ``unsent.NAME.jsonl`` first. At the end of the run it holds what was not sent, and
    ``lightly send`` sends it.

    A subclass sets `name` and defines `make_destination`.

    Args:
        config: Options of the logger.
        folder: The existing run folder.
        resume_step: Step from which a run is resumed; None: a new run.

    Attributes:
        name: Name of the logger's record in the catalog.
        started: When the run was first started, in milliseconds since 1970.
    """

    name: ClassVar[str]

    def __init__(self, config: Any, folder: Path, resume_step: int | None) -> None:  # noqa: ANN401
        super().__init__(config, folder, resume_step)
        self._seconds: float = config.finish_timeout
        self._destination = self.make_destination(config, folder)
        self._outbox = Outbox(folder, self.name)
        if resume_step is None:
            self._outbox.start_new()
        else:
            self._outbox.continue_old(resume_step=resume_step)
        self.started = int(str(self._outbox.state.get("started", now())))
        state = {"options": without_secrets(plain(config)), "started": self.started}
        if "key" not in self._outbox.state:
            state["key"] = uuid.uuid4().hex
        self._outbox.save_state(state)
        self._sender = Sender(self.name, self._outbox, self._destination)
        self._num_lost = 0
        self._is_finished = False
        self._sender.start()

    @classmethod
    @abstractmethod
    def make_destination(cls, config: Any, folder: Path) -> Destination:  # noqa: ANN401
        """Return the destination, without connecting.

        Args:
            config: Options of the logger.
            folder: The run folder.
        """

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record scalars of one step."""
        self.put(Metrics(step=step, values=dict(metrics), time=now()))

    def log_config(self, config: Mapping[str, object]) -> None:
        """Record the resolved configuration."""
        self.put(Config(values=config, time=now()))

    def log_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Record an image, uint8 (H, W, 3)."""
        buffer = io.BytesIO()
        PillowImage.fromarray(image).save(buffer, format="png")
        self.put(Image(name=name, step=step, png=buffer.getvalue(), time=now()))

    def log_artifact(self, path: Path) -> None:
        """Record a file that the run wrote."""
        self.put(Artifact(path=path.absolute(), time=now()))

    def put_model(self, path: Path) -> None:
        """Record a folder with the exported backbone in the format of the library.

        Args:
            path: The folder. It must stay until it is sent.
        """
        self.put(Model(path=path.absolute(), time=now()))

    def put(self, record: Record) -> None:
        """Append a record. A full disk loses records but does not switch the logger off."""
        try:
            self._outbox.append(record)
        except OSError as error:
            if not self._num_lost:
                log.warning("Logger '%s' cannot keep records: %s", self.name, error)
            self._num_lost += 1

    def finish(self, status: str) -> None:
        """Send the rest, wait for a limited time, and report what is not sent."""
        if self._is_finished:
            return
        self._is_finished = True
        self.put(Finish(status=status, time=now()))
        try:
            self._sender.finish(self._seconds, self._say_waiting)
        except (KeyboardInterrupt, RunInterrupted):
            log.info("Not waiting for %s any longer.", self.name)
        num_unsent = self._outbox.close()
        if num_unsent:
            log.warning(
                "Logger '%s': %d records are not sent%s. They are in '%s'; "
                "`lightly send %s` sends them",
                self.name,
                num_unsent,
                f" ({self._sender.failure})" if self._sender.failure else "",
                self._outbox.path,
                self.folder,
            )
        if self._num_lost:
            log.warning("Logger '%s': %d records are lost.", self.name, self._num_lost)

    def _say_waiting(self, num_waiting: int) -> None:
        log.info(
            "Sending %d records to %s, for at most %g seconds without progress. "
            "Ctrl-C stops the waiting.",
            num_waiting,
            self.name,
            self._seconds,
        )


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
