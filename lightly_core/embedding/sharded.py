"""Writes features to a folder of files, together with other processes.

The processes need no connection to each other. Each takes a file that is missing and that no other
process has claimed, and writes it under a temporary name. It returns when all files are complete.
If a process ends early, another one, or a later call, computes the file that it had claimed. A file
depends on its own images only, so all files are the same for any number of processes and stops.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import torch

from lightly_core.atomic import atomic_path
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.launch import Launch
from lightly_core.contracts import Sample
from lightly_core.data.base import ImageSource
from lightly_core.data.dataset import build_eval_loader
from lightly_core.embedding.checks import output_path
from lightly_core.embedding.manifest import Manifest
from lightly_core.embedding.result import EmbedResult
from lightly_core.embedding.rows import Rows, write_list
from lightly_core.embedding.shards import IDENTITY_KEY, Shards
from lightly_core.embedding.writers import ParquetWriter, finished
from lightly_core.errors import DataError
from lightly_core.evaluation.backbone import Backbone
from lightly_core.evaluation.features import frozen
from lightly_core.progress import Task, progress

logger = logging.getLogger(__name__)

#: Name of the list of all images that cannot be read.
SKIPPED_FILE = "_skipped.csv"
#: Seconds between two looks at the files that other processes compute.
_WAIT_SECONDS = 1.0


class ShardedEmbedding:
    """Computes the files of a folder that are missing.

    Args:
        config: The settings, with `shard_size`.
        backbone: The network.
        source: The images.
        launch: The processes that share the work, and the rank of this one; None: only this one.

    Raises:
        ConfigError: The folder has features of other settings, weights or images. Nothing was
            written.
        RunError: The folder cannot be written.
    """

    def __init__(
        self, config: EmbedConfig, backbone: Backbone, source: ImageSource, launch: Launch | None
    ) -> None:
        self._config = config
        self._backbone = backbone
        self._source = source
        self._rank, self._world_size = (launch.rank, launch.world_size) if launch else (0, 1)
        self._rows = Rows(config, backbone, source)
        self._num_rows: dict[int, int] = {}
        self._folder = output_path(config)
        self._manifest = Manifest.of(config, backbone, source)
        size = config.shard_size or len(source)
        self._shards = Shards(self._folder, len(source), size, self._manifest.identity)
        with self._rows.explained(self._folder):
            self._manifest.begin(self._folder, config.overwrite)

    def write(self) -> EmbedResult:
        """Write the missing files, and wait for those of other processes.

        Raises:
            DataError: Too many images cannot be read.
            RunError: A file cannot be written, or the device has too little memory.
        """
        folder, shards, started = self._folder, self._shards, time.monotonic()
        with self._rows.explained(folder):
            if self._rank == 0:
                shards.remove_others()
            before = [shards.num_rows(shard) for shard in range(len(shards))]
            if complete := len(shards) - before.count(None):
                logger.info("%d of %d files are complete.", complete, len(shards))
            self._compute_missing()
            rows = sum(self._num_rows.values())
            if rows == 0:
                raise DataError(f"none of the {len(self._source)} images can be read")
            seconds = time.monotonic() - started
            listed = write_list(self._rows.skips, folder / SKIPPED_FILE, replace=True)
            self._manifest.finish(
                folder, [self._described(number) for number in range(len(shards))]
            )
        self._rows.report(folder, listed, seconds, rows - sum(count or 0 for count in before))
        return EmbedResult(folder, rows, len(self._rows.skips), self._rows.shape[0])

    def _described(self, shard: int) -> dict[str, object]:
        rows, images = self._num_rows[shard], self._shards.images(shard)
        name = self._shards.path(shard).name
        return {"name": name, "rows": rows, "skipped": len(images) - rows}

    def _compute_missing(self) -> None:
        shards = self._shards
        batches = _Batches(self._backbone.batch_size)
        loader = build_eval_loader(
            self._source,
            range(len(self._source)),
            self._backbone.transform,
            batches=batches,
            num_workers=self._backbone.num_workers,
        )
        left = shards.order(self._rank, self._world_size)
        bar = progress("Embedding images", len(self._source))
        with bar as task, frozen(self._backbone.wrapper, self._backbone.device):
            while left:
                claimed_by_others = []
                for shard in left:
                    if self._note_complete(shard, task):
                        continue
                    with shards.claimed(shard) as is_ours:
                        if not is_ours:
                            claimed_by_others.append(shard)
                        elif not self._note_complete(shard, task):
                            batches.images = shards.images(shard)
                            self._compute(shard, loader, task)
                left = claimed_by_others
                time.sleep(_WAIT_SECONDS if left else 0)

    def _note_complete(self, shard: int, task: Task) -> bool:
        """Return whether a file is complete. If so, note its rows and its unreadable images."""
        rows = self._shards.num_rows(shard)
        if rows is None:
            return False
        self._num_rows[shard] = rows
        self._rows.skips.add(self._shards.skipped(shard))
        task.advance(len(self._shards.images(shard)))
        return True

    def _compute(
        self,
        shard: int,
        loader: torch.utils.data.DataLoader[Sample],
        task: Task,
    ) -> None:
        shards, before = self._shards, self._rows.num_images
        metadata = {IDENTITY_KEY: shards.identity}
        with atomic_path(shards.path(shard)) as temporary:
            with finished(ParquetWriter(temporary, self._rows.shape, metadata)) as writer:
                for batch in loader:
                    self._rows.add(writer, batch)
                    task.advance(len(batch.indices) + len(batch.skipped))
            shards.write_skipped(shard, self._rows.skips)
        self._num_rows[shard] = self._rows.num_images - before


class _Batches:
    """The positions of the images of each batch of one file, for a loader that is kept.

    Attributes:
        images: Positions of the images of the file.
    """

    def __init__(self, batch_size: int) -> None:
        self.images = range(0)
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.images), self._batch_size):
            yield list(self.images[start : start + self._batch_size])

    def __len__(self) -> int:
        return -(-len(self.images) // self._batch_size)
