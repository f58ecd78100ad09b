"""Read the first and the last lines of `metrics.jsonl`, which may be long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from attrs import define

_HEAD_BYTES, _TAIL_BYTES, _BLOCK_BYTES = 1 << 14, 1 << 15, 1 << 20
#: More bytes than a line has.
_LINE_BYTES = 1 << 14
_KNN = "knn/top1"
#: As it is written in a line.
_KNN_KEY = f'"{_KNN}"'.encode()


@define(frozen=True, kw_only=True)
class Metrics:
    """What the ends of the file say.

    Attributes:
        step: Step of the last line; None if there is none.
        knn_before: kNN top-1 at step 0.
        knn_after: The newest kNN top-1 after step 0.
        damaged: Whether the end of the file is not JSON, as after a crash.
    """

    step: int | None = None
    knn_before: float | None = None
    knn_after: float | None = None
    damaged: bool = False


def read_metrics(path: Path) -> Metrics:
    """Read the ends of the file.

    Between them only the last kNN accuracy is searched for, without parsing the lines.

    Raises:
        OSError: The file cannot be read. One that does not exist is like an empty one.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(_HEAD_BYTES)
            if size <= _HEAD_BYTES:
                return _combine(head, head)
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            tail = file.read()
            tail = tail.partition(b"\n")[2] if start else tail  # the first line may be cut
            if start and _KNN_KEY in head and _KNN_KEY not in tail:
                tail = _line_with_knn(file, start) + tail
            return _combine(head, tail)
    except FileNotFoundError:
        return Metrics()


def _line_with_knn(file: IO[bytes], end: int) -> bytes:
    """Return the last line before `end` with a kNN accuracy, and a line break; else nothing."""
    later = b""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(end - start) + later
        found = block.rfind(_KNN_KEY)
        begin = block.rfind(b"\n", 0, found) + 1
        if found >= 0 and (begin > 0 or start == 0):
            return block[begin:].partition(b"\n")[0] + b"\n"
        # A line that begins in the block before may continue here.
        later = block[:_LINE_BYTES]
        end = start
    return b""


def _combine(head: bytes, tail: bytes) -> Metrics:
    """Read the first accuracy from `head` and the rest from `tail`. Few lines are parsed."""
    last_first = [line for line in reversed(tail.split(b"\n")) if line]
    newest = next(_logged(last_first), None)
    before = (value for step, value in _accuracies(head.split(b"\n")) if step == 0)
    after = (value for step, value in _accuracies(last_first) if step > 0)
    return Metrics(
        step=newest["step"] if newest is not None else None,
        knn_before=next(before, None),
        knn_after=next(after, None),
        damaged=bool(last_first) and next(_logged(last_first[:1]), None) is None,
    )


def _logged(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Parse lines and yield those that are objects with a step."""
    for line in lines:
        with suppress(ValueError):  # cut off, or not of a run
            logged = json.loads(line)
            if isinstance(logged, dict) and _is_number(logged.get("step")):
                yield logged


def _accuracies(lines: Iterable[bytes]) -> Iterator[tuple[int, float]]:
    """Yield step and accuracy of the lines that have one."""
    for logged in _logged(line for line in lines if _KNN_KEY in line):
        if _is_number(logged.get(_KNN)):
            yield logged["step"], logged[_KNN]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
