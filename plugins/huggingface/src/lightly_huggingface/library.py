"""Opens data sets of Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.contracts import ExampleImage, ImageRequest, SourceLibrary
from lightly_core.data.encoded import EncodedSource
from lightly_core.data.file_cache import BoundedCache
from lightly_core.data.names import shown
from lightly_core.data.shards.opening import open_shards
from lightly_core.data.shards.source import ShardSource
from lightly_core.errors import DataError
from lightly_huggingface.columns import find_columns
from lightly_huggingface.config import HuggingFaceArgs
from lightly_huggingface.places import is_saved, parquet_files
from lightly_huggingface.source import MappedSource
from lightly_huggingface.streaming import StreamedPart

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder


class HuggingFaceDatasets(SourceLibrary):
    """Loads a data set by the library `datasets`, and returns its images without decoding them."""

    def open(
        self, places: Sequence[str], options: HuggingFaceArgs, request: ImageRequest
    ) -> EncodedSource:
        """Load the data set.

        Raises:
            DataError: It does not exist, has no such split or column, or has no rows.
        """
        from datasets import Image

        title = _title(places, options)
        if options.streaming:
            return _open_stream(places, title, options, request)
        with _explained(places):
            dataset = _load(places, options)
        if not len(dataset):
            raise DataError(f"the data set '{shown(places[0])}' has no rows")
        columns = find_columns(dataset.features, options)
        dataset = dataset.cast_column(columns.image, Image(decode=False))
        return MappedSource(dataset, title, columns, request)

    def example(self, folder: Path, images: Sequence[ExampleImage]) -> str:
        """Write a parquet file."""
        from datasets import ClassLabel, Dataset, Features, Image

        classes = sorted({image.label for image in images})
        features = Features({"image": Image(), "label": ClassLabel(names=classes)})
        rows = {
            "image": [{"bytes": image.data, "path": image.name} for image in images],
            "label": [classes.index(image.label) for image in images],
        }
        file = folder / "images.parquet"
        Dataset.from_dict(rows, features=features).to_parquet(str(file))
        return f"hf:{file.as_posix()}"


@contextmanager
def _explained(places: Sequence[str]) -> Iterator[None]:
    """Convert errors of the library and of the hub."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # there are many kinds
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"the data set '{shown(places[0])}' cannot be loaded: {type(error).__name__}: "
            f"{shown(reason)}"
        ) from error


def _open_stream(
    places: Sequence[str], title: str, options: HuggingFaceArgs, request: ImageRequest
) -> ShardSource:
    """Return the images of a data set whose parts are fetched when they are needed."""
    from datasets import Image

    with _explained(places):
        builder = _builder(places, options)
        dataset = builder.as_streaming_dataset(split=options.split)
        features = dataset.features or dataset._resolve_features().features
    columns = find_columns(features, options)
    dataset = dataset.cast_column(columns.image, Image(decode=False))
    cache = BoundedCache("shards", int(options.cache_size * 2**30))
    total = dataset.num_shards
    parts = [
        StreamedPart(
            f"{title}/{number}",
            cache,
            dataset.shard(num_shards=total, index=number),
            f"{_version(builder, options)} {number} of {total}",
            columns,
        )
        for number in range(total)
    ]
    column = f"column '{columns.label}'" if columns.label else "any column"
    return open_shards(parts, request, buffer=options.buffer, labels=column)


def _builder(places: Sequence[str], options: HuggingFaceArgs) -> DatasetBuilder:
    from datasets import load_dataset_builder

    files = [file for place in places for file in parquet_files(place)]
    if files:
        return load_dataset_builder("parquet", data_files=files)
    path = os.path.expanduser(places[0])
    if is_saved(path):
        raise DataError(
            f"'{shown(places[0])}' was saved by `save_to_disk` and is read as it is; remove the "
            "option streaming"
        )
    name = path if os.path.isdir(path) else places[0]
    return load_dataset_builder(name, options.subset, revision=options.revision)


def _version(builder: DatasetBuilder, options: HuggingFaceArgs) -> str:
    """Return a text that changes when the data set does."""
    files = (builder.config.data_files or {}).get(options.split)
    return f"{builder.hash} {files} {getattr(files, 'origin_metadata', None)}"


def _load(places: Sequence[str], options: HuggingFaceArgs) -> Dataset:
    """Load the split of a data set."""
    from datasets import DatasetDict, load_dataset, load_from_disk

    files = [file for place in places for file in parquet_files(place)]
    if files:
        # The builder calls the rows of a list of files "train".
        return load_dataset("parquet", data_files=files, split=options.split)
    path = os.path.expanduser(places[0])
    if is_saved(path):
        loaded = load_from_disk(path)
        if not isinstance(loaded, DatasetDict):
            return loaded
        if options.split not in loaded:
            raise DataError(
                f"'{shown(places[0])}' has no split '{shown(options.split)}'; known: "
                f"{', '.join(map(shown, loaded))} (option split)"
            )
        return loaded[options.split]
    name = path if os.path.isdir(path) else places[0]
    return load_dataset(name, options.subset, split=options.split, revision=options.revision)


def _title(places: Sequence[str], options: HuggingFaceArgs) -> str:
    """Return the beginning of the names of images, without folders of this machine."""
    local = parquet_files(places[0]) or os.path.exists(os.path.expanduser(places[0]))
    name = os.path.basename(os.path.normpath(places[0])) if local else places[0]
    return f"{name}/{options.split}"
