"""Keeps account of the images that cannot be read."""

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
_ERRORS = "backslashreplace"  # a list that something else wrote need not be valid text

#: Position in the source, name and reason of one image.
Skipped = tuple[int, str, str]


class SkipLog:
    """Lists unreadable images in ``skipped_images.csv`` and stops a run that has too many.

    The file appears with the first such image. Several processes may write to one folder. What
    is in the file already counts, so a resumed run goes on counting. The rule is the plain
    share: one bad image of eight is 12.5 % and thus too many by default. Names and reasons are
    written in the form of `lightly_core.data.names.written`, which no spreadsheet computes.

    Args:
        folder: Where the file is written; None writes none.
        dataset_size: Number of images of the source.
        max_share: Share of different unreadable images above which `add` raises.
    """

    def __init__(self, folder: Path | None, dataset_size: int, max_share: float) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._dataset_size = dataset_size
        self._max_share = max_share

    @functools.cached_property
    def _seen(self) -> dict[int, Skipped]:
        """All so far, by position; read when first needed, as a new run clears an older one's."""
        return {row[0]: row for row in self._read()}

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, skipped: Iterable[Skipped]) -> None:
        """Count images; those that were counted before are ignored.

        Args:
            skipped: Index, name and reason of each.

        Raises:
            DataError: More than `max_share` of all images cannot be read.
        """
        new = {row[0]: row for row in skipped if row[0] not in self._seen}
        if not new:
            return
        if not self._seen:
            index, name, reason = next(iter(new.values()))
            logger.warning("Image %d, '%s', cannot be read: %s", index, shown(name), shown(reason))
        self._seen.update(new)
        self._append(list(new.values()))
        if len(self._seen) > self._max_share * self._dataset_size:
            raise DataError(self._too_many())

    def finish(self) -> int:
        """Sort the file and take out what several processes wrote twice.

        Called by one process, after the others have written.

        Returns:
            Number of different images that could not be read.
        """
        self._seen.update({row[0]: row for row in self._read()})
        if self._path is not None and self._seen:
            self.write(self._path)
        return len(self._seen)

    def write(self, path: Path) -> None:
        """Write all that was counted, sorted, to a file of the same form."""
        rows = [_HEADER, *(self._seen[index] for index in sorted(self._seen))]
        with atomic_path(path) as temporary:
            temporary.write_bytes(_encode(rows))

    def _too_many(self) -> str:
        count, size = len(self._seen), self._dataset_size
        rows = list(self._seen.values())[:3]
        first = [f"'{shown(name)}' ({shown(reason)})" for _, name, reason in rows]
        listed = "" if self._path is None else f" All are listed in {self._path}."
        return (
            f"{count} of {size} images ({100 * count / size:.3g} %) cannot be read, more than "
            f"max_skipped={self._max_share} allows, for example {', '.join(first)}.{listed} "
            "Remove or repair them, or raise max_skipped"
        )

    def _append(self, rows: list[Skipped]) -> None:
        """Add whole lines in one write, so that those of several processes do not mix."""
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
        if self._path is None or not self._path.exists():
            return []
        with open(self._path, encoding="utf-8", errors=_ERRORS, newline="") as file:
            # The header need not come first where two processes began at the same moment, and
            # the last line may be cut where the machine went down.
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
