"""Checks of data sources, on a small data set that the source itself has written."""

from __future__ import annotations

import contextlib
import io
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lightly_core.contracts import ExampleImage, ImageSource, Sample, SourceLibrary, Transform
from lightly_core.data.check import data_problems
from lightly_core.data.dataset import RawBatch, build_loader
from lightly_core.data.folder import FolderSource
from lightly_core.data.loader import Loader
from lightly_core.data.sampler import StepSampler
from lightly_core.data.sources import open_source
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_target
from lightly_core.plugins.records import SourceRecord
from lightly_core.testing.checks import Check, require

_NUM_IMAGES = 36
#: A multiple of the numbers of processes that are checked, and a divisor of the number of images.
_BATCH = 6
_BROKEN = 7
_CLASSES = ("cat", "dog", "fox")


def source_checks(name: str) -> list[Check]:
    """Return the checks of an installed data source.

    They use data sets that `SourceLibrary.example` writes.

    Args:
        name: Name of the data source.

    Returns:
        One check for each requirement, S1 to S9.

    Raises:
        ConfigError: No installed plugin provides it.
    """
    case = _Case(get_plugins().catalog.get("source", name))
    return [
        Check(code, title, partial(function, case)) for code, (title, function) in _CHECKS.items()
    ]


class _Case:
    """A data source.

    Args:
        record: Its record.
    """

    def __init__(self, record: SourceRecord) -> None:
        self.record = record

    @contextlib.contextmanager
    def text(self, images: Sequence[ExampleImage]) -> Iterator[str]:
        """Write images to a new folder, and yield the text that opens them."""
        library = cast("type[SourceLibrary]", load_target(self.record))()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield library.example(Path(folder), images)

    @contextlib.contextmanager
    def opened(self, images: Sequence[ExampleImage] | None = None) -> Iterator[ImageSource]:
        """Open a new data set; None: that of `_images`."""
        with self.text(_images() if images is None else images) as text:
            yield open_source(text)


def _images(*, broken: bool = False) -> list[ExampleImage]:
    """Return images of several sizes whose first pixel is their position."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(_NUM_IMAGES):
        pixels = rng.integers(0, 255, (10 + index % 5, 12, 3)).astype(np.uint8)
        pixels[0, 0] = index
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        data = b"not an image" if broken and index == _BROKEN else buffer.getvalue()
        label = _CLASSES[index * len(_CLASSES) // _NUM_IMAGES]  # sorted as class folders are
        found.append(ExampleImage(f"{label}/{index:02}.png", data, label))
    return found


class _Positions(Transform):
    """Views of one value: the first pixel."""

    def sample(
        self, image: Image.Image | np.ndarray, rng: np.random.Generator, index: int
    ) -> Sample:
        pixels = torch.from_numpy(np.array(image)[:1, :1, 0].copy())
        return Sample(index, [pixels[None]], [torch.zeros(1)])

    def views(self, pixels: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        return [view.float() for view in pixels]


def _batches(
    source: ImageSource, *, world_size: int = 1, num_workers: int = 0, epoch: int = 0, skip: int = 0
) -> list[RawBatch]:
    """Return the batches of an epoch, those of process 0 first; `skip` of each are left out."""
    found: list[RawBatch] = []
    for rank in range(world_size):
        loader = build_loader(
            source,
            _Positions(),
            seed=3,
            per_device_batch_size=_BATCH // world_size,
            rank=rank,
            world_size=world_size,
            num_workers=num_workers,
            pin_memory=False,
        )
        assert isinstance(loader, Loader)
        assert isinstance(loader.batch_sampler, StepSampler)
        loader.batch_sampler.set_epoch(epoch)
        loader.batch_sampler.skip_batches(skip)
        found += cast("Iterator[RawBatch]", iter(loader))
    return found


def _positions(batches: Sequence[RawBatch]) -> list[int]:
    return [int(index) for batch in batches for index in batch.indices]


def _values(batches: Sequence[RawBatch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.pixels[0].flatten()]


def _length_and_names(case: _Case) -> None:
    with case.opened() as source:
        require(len(source) == _NUM_IMAGES, f"{len(source)} images, expected {_NUM_IMAGES}")
        names = [source.name(index) for index in range(len(source))]
        double = [name for name, count in Counter(names).items() if count > 1]
        require(not double, f"images have the same name: {double[:3]}")
        for index in (-1, len(source)):
            try:
                source.name(index)
            except IndexError:
                continue
            raise AssertionError(f"name({index}) of {len(source)} images raises no IndexError")


def _pixels(case: _Case) -> None:
    images = _images()
    with tempfile.TemporaryDirectory() as folder, case.opened(images) as source:
        for image in images:
            path = Path(folder) / image.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(image.data)
        files = open_source(folder)
        assert isinstance(files, FolderSource)
        for index in range(len(images)):
            same = np.array_equal(_array(source, index), _array(files, index))
            require(same, f"the pixels of image {index} are not those of the file")


def _array(source: ImageSource, index: int) -> npt.NDArray[np.uint8]:
    return np.asarray(source.load(index))


def _each_once(case: _Case) -> None:
    with case.opened() as source:
        for world_size in (1, 2, 3):
            for num_workers in (0, 2):
                values = _values(_batches(source, world_size=world_size, num_workers=num_workers))
                require(
                    sorted(values) == list(range(_NUM_IMAGES)),
                    f"{world_size} processes with {num_workers} workers do not see each image "
                    f"once in an epoch: {Counter(values).most_common(3)}",
                )


def _order_is_a_function(case: _Case) -> None:
    with case.text(_images()) as text:
        first, second = open_source(text), open_source(text)
        for epoch in (0, 1):
            same = _positions(_batches(first, epoch=epoch)) == _positions(
                _batches(second, epoch=epoch)
            )
            require(same, f"the order of epoch {epoch} differs when the data are opened again")
        changed = _positions(_batches(first)) != _positions(_batches(first, epoch=1))
        require(changed, "two epochs have the same order")


def _resumes(case: _Case) -> None:
    with case.opened() as source:
        whole = _values(_batches(source))
        for num_workers in (0, 2):
            rest = _values(_batches(source, skip=2, num_workers=num_workers))
            require(
                rest == whole[2 * _BATCH :],
                f"an epoch that goes on at batch 2 with {num_workers} workers has other images",
            )


def _replaced(case: _Case) -> None:
    with case.opened(_images(broken=True)) as source:
        batches = _batches(source)
        skipped = [row for batch in batches for row in batch.skipped]
        require(
            [index for index, _, _ in skipped] == [_BROKEN],
            f"image {_BROKEN} is broken, but the list of unreadable images is {skipped}",
        )
        counts = Counter(_values(batches))
        require(
            counts[_BROKEN + 1] == 2 and len(counts) == _NUM_IMAGES - 1,
            f"image {_BROKEN} is not replaced by the next one: {counts.most_common(3)}",
        )


def _labels(case: _Case) -> None:
    with case.opened() as source:
        labels = source.labels()
        if labels is None:
            require(source.why_no_labels().strip(), "why_no_labels() returns no text")
            return
        found = [labels.classes[number] for number in labels.targets]
        require(found == [image.label for image in _images()], f"classes of images are {found}")


def _pickled(case: _Case) -> None:
    with case.opened() as source:
        source.load(0)  # what it has opened stays in this process
        again = pickle.loads(pickle.dumps(source))
        require(
            np.array_equal(_array(again, 5), _array(source, 5)),
            "a copy by pickle, as workers of some systems get it, loads another image",
        )


def _wrong_options(case: _Case) -> None:
    with case.text(_images()) as text:
        require(not data_problems(text), f"its own text is refused: {data_problems(text)}")
        plain = text.partition("?")[0]
        problems = data_problems(f"{plain}?no_such_option=1")
        require(problems, "an unknown option is accepted")


_CHECKS: dict[str, tuple[str, Callable[[_Case], None]]] = {
    "S1": ("length_and_names", _length_and_names),
    "S2": ("pixels_are_those_of_the_files", _pixels),
    "S3": ("processes_and_workers_share_an_epoch", _each_once),
    "S4": ("order_follows_from_seed_and_epoch", _order_is_a_function),
    "S5": ("goes_on_at_a_position", _resumes),
    "S6": ("unreadable_images_are_replaced_and_listed", _replaced),
    "S7": ("labels", _labels),
    "S8": ("can_be_pickled", _pickled),
    "S9": ("texts_are_checked", _wrong_options),
}
