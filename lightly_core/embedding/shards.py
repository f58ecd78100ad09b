"""The files of a folder of features: their names, images and order, and whether they are there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightly_core.data.skipped import SkipLog, Skipped, read_skipped, write_skipped
from lightly_core.engine.lock import held
from lightly_core.errors import LightlyError

#: Key of a file's metadata: what its features were computed from, see `Manifest.identity`.
IDENTITY_KEY = "lightly.identity"

_NAME = re.compile(r"features-\d{5,}-of-(\d{5,})(\.parquet|\.csv)")
_SKIPPED = "_skipped"


class _Taken(LightlyError):
    """Another process computes the file."""


@dataclass(frozen=True)
class Shards:
    """The files of one folder. File i holds images i * size to (i + 1) * size - 1.

    Attributes:
        folder: The folder.
        num_images: Number of images, unreadable ones included.
        size: Images per file; the last may have fewer.
        identity: What the features are computed from.
    """

    folder: Path
    num_images: int
    size: int
    identity: str

    def __len__(self) -> int:
        return -(-self.num_images // self.size)

    def images(self, shard: int) -> range:
        """Return the positions of a file's images."""
        return range(shard * self.size, min((shard + 1) * self.size, self.num_images))

    def path(self, shard: int) -> Path:
        """Return the path of a file."""
        return self.folder / f"features-{shard:05}-of-{len(self):05}.parquet"

    def order(self, rank: int, world_size: int) -> list[int]:
        """Return all files in the order in which a process computes those that are missing.

        It begins with its own contiguous part. Then it helps the others, whose parts it begins
        at the end.

        Args:
            rank: Number of the process.
            world_size: Number of processes.
        """
        starts = [len(self) * number // world_size for number in range(world_size + 1)]
        parts = [range(starts[number], starts[number + 1]) for number in range(world_size)]
        others = [*parts[rank + 1 :], *parts[:rank]]
        return [*parts[rank], *(shard for part in others for shard in reversed(part))]

    def num_rows(self, shard: int) -> int | None:
        """Return the rows of a complete file of these features; None if there is none."""
        path = self.path(shard)
        if not path.is_file():
            return None
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        try:
            content = parquet.read_metadata(path)
        except (OSError, arrow.ArrowException):  # damaged, or removed just now
            return None
        found = (content.metadata or {}).get(IDENTITY_KEY.encode(), b"").decode()
        return int(content.num_rows) if found == self.identity else None

    @contextmanager
    def claimed(self, shard: int) -> Iterator[bool]:
        """Yield whether this process may compute a file. If so, no other one may meanwhile.

        The claim of a process that was killed ends with it, see `lightly_core.engine.lock`.
        """
        path = self.path(shard)
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.folder, _Taken, name=f".{path.stem}.lock"))
            except _Taken:
                yield False
                return
            for left in self.folder.glob(f".{path.stem}-*.writing"):  # of a killed process
                left.unlink(missing_ok=True)
            yield True

    def write_skipped(self, shard: int, skips: SkipLog) -> None:
        """Write which images of a file cannot be read. To be called before the file is complete."""
        path = self._skipped_path(shard)
        path.unlink(missing_ok=True)
        if rows := skips.rows(self.images(shard)):
            write_skipped(path, rows)

    def skipped(self, shard: int) -> list[Skipped]:
        """Return which images of a complete file could not be read."""
        return read_skipped(self._skipped_path(shard))

    def _skipped_path(self, shard: int) -> Path:
        return self.folder / _SKIPPED / f"{self.path(shard).stem}.csv"

    def remove_others(self) -> None:
        """Remove files of another number of files, which an earlier call has left."""
        for path in [*self.folder.iterdir(), *self.folder.glob(f"{_SKIPPED}/*")]:
            found = _NAME.fullmatch(path.name)
            if found is not None and int(found[1]) != len(self):
                path.unlink(missing_ok=True)
