"""Adds records to a file of comma-separated values, one line each."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import AttrsInstance, asdict, fields

from lightly_core.advising.evidence import read_records


class Record(AttrsInstance, Protocol):
    """A frozen attrs class of numbers and strings."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What identifies a record. Files are sorted by it."""


R = TypeVar("R", bound=Record)


def add(cls: type[R], new: Iterable[R], file: Path) -> None:
    """Write records to the file. They replace earlier ones of the same key."""
    found = {record.key: record for record in (*read_records(cls, file), *new)}
    with file.open("w", encoding="utf-8", newline="") as opened:
        names = [one.name for one in fields(cls)]
        writer = csv.DictWriter(opened, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(found[key]) for key in sorted(found))
