"""Opens shards as a source of images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from lightly_core.contracts.source import ImageRequest
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.names import shown
from lightly_core.data.paths import some
from lightly_core.data.shards.index import VERSION, ShardIndex, read_index, write_index
from lightly_core.data.shards.shard import Shard
from lightly_core.data.shards.source import ShardSource
from lightly_core.errors import DataError
from lightly_core.progress import tracked

logger = logging.getLogger(__name__)

#: Shards that are fetched and indexed at once.
_THREADS = 4
_MOST_INDEX_BYTES = 1 << 30


def open_shards(
    shards: Sequence[Shard],
    request: ImageRequest,
    *,
    buffer: int,
    labels: str,
    wanted: str = "an image",
) -> ShardSource:
    """Return the images of shards, whose indexes are read once for all runs.

    Args:
        shards: At least one.
        request: How images are decoded.
        buffer: Images that are shuffled together.
        labels: Where the classes are from, for the user.
        wanted: What a sample needs, for messages.

    Raises:
        DataError: A shard cannot be read, or no sample has an image.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(_index_or_reason, shards)
        title = "Reading the index of shards"
        indexes = list(tracked(found, title, len(shards), unit="shards"))
    reasons = {
        shard.place: index
        for shard, index in zip(shards, indexes, strict=True)
        if isinstance(index, str)
    }
    if reasons:
        raise DataError(_unreadable(reasons, len(shards)))
    read = cast("list[ShardIndex]", indexes)
    _report(shards, read, wanted)
    return ShardSource(shards, read, request, buffer=buffer, labels=labels)


def _index_or_reason(shard: Shard) -> ShardIndex | str:
    try:
        return _index(shard)
    except Exception as error:  # a server may fail in any way
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text}"[:200]


def _index(shard: Shard) -> ShardIndex:
    """Return the index of a shard, which is kept for later runs."""
    scanned: list[ShardIndex] = []

    def scan(path: Path | None) -> None:
        with shard.open() as file:
            scanned.append(shard.scan(file))
        if path is not None:
            with path.open("wb") as stored:
                write_index(scanned[0], stored)

    cache = BoundedCache("shard-indexes", _MOST_INDEX_BYTES)
    facts = (VERSION, shard.version(), shard.reading)
    try:
        with cache.open(repr(facts), scan) as file:
            return scanned[0] if scanned else read_index(file)
    except Exception:  # the cache cannot be used, or the index in it is damaged
        if not scanned:
            scan(None)
        return scanned[0]


def _unreadable(reasons: dict[str, str], total: int) -> str:
    listed = some([f"'{place}' ({reason})" for place, reason in reasons.items()])
    return (
        f"{len(reasons)} of {total} shards cannot be read: {listed}; correct them, or leave them "
        "out of data"
    )


def _report(shards: Sequence[Shard], indexes: Sequence[ShardIndex], wanted: str) -> None:
    """Log what is left out.

    Raises:
        DataError: No sample has an image.
    """
    broken = [
        f"'{shard.place}' after {len(index)} images ({index.problem})"
        for shard, index in zip(shards, indexes, strict=True)
        if index.problem
    ]
    if broken:
        logger.warning("Shards that could not be read to their end: %s", some(broken))
    without = sum(index.without_image for index in indexes)
    if not sum(map(len, indexes)):
        have = f"{without} samples without {wanted}" if without else "no samples"
        damage = f"; damaged: {some(broken)}" if broken else ""
        raise DataError(
            f"no images in {len(shards)} shards such as '{shown(shards[0].place)}': found {have}"
            f"{damage}; expected samples with {wanted}"
        )
    if without:
        logger.warning("%d samples without an image are skipped", without)
