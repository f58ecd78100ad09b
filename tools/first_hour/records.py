"""Records in a file of comma-separated values, one line each."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import AttrsInstance, asdict, fields
from cattrs import Converter


class Record(AttrsInstance, Protocol):
    """A frozen attrs class of numbers and strings."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What identifies a record. Files are sorted by it."""


R = TypeVar("R", bound=Record)


def read(cls: type[R], file: Path) -> list[R]:
    """Return the records in the file; none if there is no file."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        return [Converter().structure(row, cls) for row in csv.DictReader(opened)]


def add(cls: type[R], new: Iterable[R], file: Path) -> None:
    """Write records to the file. They replace earlier ones of the same key."""
    found = {record.key: record for record in (*read(cls, file), *new)}
    with file.open("w", encoding="utf-8", newline="") as opened:
        names = [one.name for one in fields(cls)]
        writer = csv.DictWriter(opened, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(found[key]) for key in sorted(found))
