"""Opens shards of WebDataset as a data source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightly_core.contracts import ExampleImage, ImageRequest, SourceLibrary
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.shards.opening import open_shards
from lightly_core.data.shards.source import ShardSource
from lightly_webdataset.config import WebDatasetArgs
from lightly_webdataset.places import expanded
from lightly_webdataset.shards import shard_of


class WebDatasetLibrary(SourceLibrary):
    """Expands the names of shards, and returns their images by position."""

    def open(
        self, places: Sequence[str], options: WebDatasetArgs, request: ImageRequest
    ) -> ShardSource:
        """Index the shards.

        Raises:
            DataError: A shard cannot be read, or no sample has an image.
        """
        cache = BoundedCache("shards", int(options.cache_size * 2**30))
        return open_shards(
            [shard_of(name, options, cache) for name in expanded(places)],
            request,
            buffer=options.buffer,
            labels=f"'{options.label}' of the samples",
            wanted=f"a file '{options.image}'" if options.image else "an image such as 000.jpg",
        )

    def example(self, folder: Path, images: Sequence[ExampleImage]) -> str:
        """Write three shards."""
        from webdataset import ShardWriter

        most = -(-len(images) // 3)
        pattern = (folder / "%06d.tar").as_posix()
        with ShardWriter(pattern, maxcount=most, verbose=0) as writer:
            for image in images:
                key, _, extension = image.name.rpartition(".")
                writer.write({"__key__": key, extension: image.data, "cls": image.label})
        return f"wds:{folder.as_posix()}/{{000000..000002}}.tar?buffer={most}"
