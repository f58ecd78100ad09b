"""The file of records that are not sent yet, one line of JSON each."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from lightly_core.engine.remote.records import (
    Artifact,
    Config,
    Finish,
    Metrics,
    Model,
    Record,
    from_line,
    to_line,
)

#: Most bytes of lines that are read at once. One larger line is still read.
_MOST_BYTES = 500_000


class Outbox:
    """Appends records to a file, and reads those that are not sent yet.

    The file holds all records of a run until they are sent, so memory does not grow, and nothing is
    lost if the process is killed. A second file holds the identity of the remote run and the
    position up to which everything is sent. One thread appends, another one reads.

    Args:
        folder: The run folder.
        name: Name of the logger.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"unsent.{name}.jsonl"
        self._state_path = folder / f"remote.{name}.json"
        self._folder = folder
        self._lock = threading.Lock()
        self.state: dict[str, object] = {}
        self._sent = 0
        self._refused: list[bytes] = []
        self._is_closed = False
        self._file: io.FileIO | None = None
        self.num_appended = 0
        self.num_done = 0

    @property
    def num_waiting(self) -> int:
        """Records that are neither sent nor refused."""
        with self._lock:
            return self.num_appended - self.num_done

    @property
    def num_unsent(self) -> int:
        """Records that are not sent, with those that the server refused."""
        return self.num_waiting + len(self._refused)

    def start_new(self) -> None:
        """Remove the files of an earlier run."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def continue_old(self, *, resume_step: int | None = None) -> None:
        """Read the files of an interrupted run, and keep what is not sent.

        Args:
            resume_step: Step from which the run is resumed. Records of later steps are removed,
                since these steps are repeated, and so is the end of the interrupted run. None:
                nothing is repeated.
        """
        try:
            self.state = json.loads(self._state_path.read_text(encoding="utf-8"))
            sent = int(self.state.pop("sent", 0))  # type: ignore[call-overload]
        except (OSError, ValueError, AttributeError):
            self.state, sent = {}, 0
        lines = [line for line, record in self._lines_after(sent) if _kept(record, resume_step)]
        if lines or self.path.exists():
            with self._lock:
                self._rewrite(lines)
        self.num_appended = len(lines)

    def _lines_after(self, start: int) -> Iterator[tuple[bytes, Record]]:
        try:
            content = self.path.read_bytes()[start:]
        except OSError:
            return
        for line in content.splitlines(keepends=True):
            record = from_line(line, self._folder)
            if record is not None and line.endswith(b"\n"):
                yield line, record

    def append(self, record: Record) -> None:
        """Append a record.

        Raises:
            OSError: The disk is full, for example.
        """
        line = to_line(record, self._folder)
        with self._lock:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            start = self._file.tell()
            try:
                written = self._file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            except OSError:
                self._file.truncate(start)  # a part of a line would spoil the next one
                self._file.seek(start)
                raise
            self.num_appended += 1

    def read(self) -> list[tuple[bytes, Record | None]]:
        """Return the next lines with their records; None: a line that cannot be read."""
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    file.seek(self._sent)
                    lines = file.readlines(_MOST_BYTES)
            except FileNotFoundError:
                return []
        return [(line, from_line(line, self._folder)) for line in lines if line.endswith(b"\n")]

    def done(self, line: bytes, *, refused: bool = False) -> None:
        """Move past the next line, which is sent, or which the server refused."""
        with self._lock:
            if self._is_closed:  # a request that was given up has ended after all
                return
            self._sent += len(line)
            self.num_done += 1
            if refused:
                self._refused.append(line)

    def save_state(self, changes: Mapping[str, object] | None = None) -> None:
        """Store the position, and what identifies the remote run."""
        with self._lock:
            if not self._is_closed:
                self.state.update(changes or {})
                self._write_state()

    def _write_state(self) -> None:
        content = json.dumps({**self.state, "sent": self._sent})
        self._replace(self._state_path, [content.encode() + b"\n"])

    def close(self) -> int:
        """Keep only what is not sent, and remove the file if everything is.

        Returns:
            The number of records that are not sent.
        """
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()
                self._file = None
            lines = [*self._refused, *(line for line, _ in self._lines_after(self._sent))]
            if lines:
                self._rewrite(lines)
            else:
                self.path.unlink(missing_ok=True)
                self._sent = 0
                self._write_state()
        return len(lines)

    def _rewrite(self, lines: list[bytes]) -> None:
        # In this order, so that after a crash in between lines are sent twice, and none is lost.
        self._sent = 0
        self._write_state()
        self._replace(self.path, lines)

    def _replace(self, path: Path, lines: list[bytes]) -> None:
        # `atomic_path` changes the umask of the process, which only one thread at a time may do.
        # Nor does the file end in ".writing": the run removes such files while this one is written.
        temporary = path.with_name(f".{path.name}.part")
        with temporary.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def _kept(record: Record, resume_step: int | None) -> bool:
    if resume_step is None:
        return True
    if isinstance(record, Finish):
        return False
    if isinstance(record, (Config, Artifact, Model)):
        return True
    if isinstance(record, Metrics) and not record.is_repeated:
        return True
    return record.step <= resume_step


def unsent_loggers(folder: Path) -> list[str]:
    """Return the names of the loggers that have unsent records in a run folder, sorted."""
    found = folder.glob("unsent.*.jsonl")
    return sorted(path.name[len("unsent.") : -len(".jsonl")] for path in found)
