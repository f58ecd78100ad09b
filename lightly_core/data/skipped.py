"""Records the images that cannot be read."""

from __future__ import annotations

import csv
import functools
import io
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.data.names import read_back, shown, written
from lightly_core.errors import DataError

logger = logging.getLogger(__name__)

FILE_NAME = "skipped_images.csv"
_HEADER = ("index", "name", "reason")
_ERRORS = "backslashreplace"  # a file from another program need not be valid text

#: Position in the source, name and reason of one image.
Skipped = tuple[int, str, str]


class SkipLog:
    """Lists unreadable images in ``skipped_images.csv`` and stops a run that has too many.

    The file is created with the first such image. Several processes may write to one folder.
    Images that are already in the file count, so a resumed run continues the count. The limit is
    a fraction of all images: one unreadable image of eight is 12.5 %, which is too many by
    default. Names and reasons are escaped by `lightly_core.data.names.written`, so that no
    spreadsheet evaluates them.

    Args:
        folder: Where the file is written; None: no file.
        dataset_size: Number of images of the source.
        max_fraction: Fraction of unreadable images above which `add` raises, in [0, 1].
    """

    def __init__(self, folder: Path | None, dataset_size: int, max_fraction: float) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._dataset_size = dataset_size
        self._max_fraction = max_fraction

    @functools.cached_property
    def _seen(self) -> dict[int, Skipped]:
        """All so far, by position; read on first use, since a new run removes an old file."""
        return {row[0]: row for row in self._read()}

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, skipped: Iterable[Skipped]) -> None:
        """Record images; those that were recorded before are ignored.

        Args:
            skipped: Index, name and reason of each.

        Raises:
            DataError: More than `max_fraction` of all images cannot be read.
        """
        new = {row[0]: row for row in skipped if row[0] not in self._seen}
        if not new:
            return
        if not self._seen:
            index, name, reason = next(iter(new.values()))
            logger.warning("Image %d, '%s', cannot be read: %s", index, shown(name), shown(reason))
        self._seen.update(new)
        self._append(list(new.values()))
        if len(self._seen) > self._max_fraction * self._dataset_size:
            raise DataError(self._too_many())

    def finish(self) -> int:
        """Sort the file and remove rows that several processes wrote twice.

        To be called by one process, after the others have written.

        Returns:
            Number of images that could not be read.
        """
        self._seen.update({row[0]: row for row in self._read()})
        if self._path is not None and self._seen:
            self.write(self._path)
        return len(self._seen)

    def write(self, path: Path) -> None:
        """Write all recorded images, sorted, to a file of the same form."""
        write_skipped(path, self.rows())

    def rows(self, within: range | None = None) -> list[Skipped]:
        """Return the recorded images, sorted; of these positions only, if they are given."""
        chosen = (
            self._seen if within is None else [index for index in self._seen if index in within]
        )
        return [self._seen[index] for index in sorted(chosen)]

    def _too_many(self) -> str:
        count, size = len(self._seen), self._dataset_size
        rows = list(self._seen.values())[:3]
        first = [f"'{shown(name)}' ({shown(reason)})" for _, name, reason in rows]
        listed = "" if self._path is None else f" All are listed in {self._path}."
        return (
            f"{count} of {size} images ({100 * count / size:.3g} %) cannot be read, more than "
            f"max_skipped={self._max_fraction} allows, for example {', '.join(first)}.{listed} "
            "Remove or repair them, or raise max_skipped"
        )

    def _append(self, rows: list[Skipped]) -> None:
        """Append whole lines in one write, so that lines of several processes do not mix."""
        if self._path is None:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self._path, flags | os.O_EXCL, 0o666)
            content = _encode([_HEADER, *rows])
        except FileExistsError:
            file = os.open(self._path, flags, 0o666)
            content = _encode(rows)
        try:
            os.write(file, content)
        finally:
            os.close(file)

    def _read(self) -> list[Skipped]:
        return [] if self._path is None else read_skipped(self._path)


def write_skipped(path: Path, rows: Iterable[Skipped]) -> None:
    """Write images to a ``skipped_images.csv``, which `read_skipped` reads."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(_encode([_HEADER, *rows]))


def read_skipped(path: Path) -> list[Skipped]:
    """Read the images of a ``skipped_images.csv``; none if there is no file."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", errors=_ERRORS, newline="") as file:
        # The header is not the first line if two processes started at the same moment, and
        # the last line may be incomplete after a crash.
        return [
            (int(row[0]), read_back(row[1]), read_back(row[2]))
            for row in csv.reader(file)
            if len(row) == len(_HEADER) and row[0].isdecimal()
        ]


def _encode(rows: Iterable[tuple[object, ...]]) -> bytes:
    cells = ([index, *(written(str(cell)) for cell in texts)] for index, *texts in rows)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue().encode()
