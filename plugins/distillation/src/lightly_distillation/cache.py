"""Keeps a teacher's features on disk, for views that repeat.

A row holds the teacher's features of one view. Its number is that of the view, `Batch.view_ids`.
Rows are written when they are first computed, each followed by its checksum. Every read compares
the checksum with the contents, so nothing has to be locked or flushed: a row that was cut off by a
crash, that another process is writing, or that a network disk has not delivered yet, has another
checksum and is computed again. Any number of processes and runs can use one cache at the same
time, and each finds what the others have written.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Sequence
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor

from lightly_core.atomic import atomic_path
from lightly_core.errors import ConfigError, RunError
from lightly_distillation.cache_plan import CachePlan

log = logging.getLogger(__name__)

Halves = npt.NDArray[np.float16]
Rows = npt.NDArray[np.int64]


class FeatureCache:
    """Returns a teacher's features, and computes them only for views that it does not hold.

    Features are always rounded to half precision, also where they were just computed: a run that
    finds everything in the cache has the same losses, bit for bit, as the run that filled it.

    Args:
        plan: The files. They are opened or created when first needed.
    """

    def __init__(self, plan: CachePlan) -> None:
        self.plan = plan
        self._files: CacheFiles | None = None

    @torch.no_grad()
    def features(
        self,
        view_ids: Tensor | None,
        images: Tensor,
        compute: Callable[[Tensor], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        """Return the features of images, one tensor (B, *shape) float32 for each part of the plan.

        Args:
            view_ids: `lightly_core.contracts.Batch.view_ids`; rows of -1 are computed and not kept.
            images: (B, C, H, W).
            compute: The teacher, from images (b, C, H, W) to the parts, (b, *shape).

        Raises:
            ConfigError: The files are damaged.
            RunError: A feature is too large for half precision.
        """
        if view_ids is None or not bool((view_ids >= 0).any()):
            return tuple(part.float() for part in _halves(compute(images)))
        files = self._opened()
        rows: Rows = view_ids.numpy()
        pinned = images.device.type == "cuda"
        found, kept = files.read(rows, pinned)
        known = [part.to(images.device, non_blocking=True) for part in kept]
        if len(found) == len(rows):
            return tuple(part.float() for part in known)
        missing = np.setdiff1d(np.arange(len(rows)), found)
        chosen = images if not len(found) else images[_positions(missing, images)]
        new = _halves(compute(chosen))
        self._keep(files, rows[missing], new)
        if not len(found):
            return tuple(part.float() for part in new)
        merged = []
        for part, fresh in zip(known, new, strict=True):
            whole = part.new_empty((len(rows), *part.shape[1:]))
            whole[_positions(found, images)] = part
            whole[_positions(missing, images)] = fresh
            merged.append(whole.float())
        return tuple(merged)

    def _keep(self, files: CacheFiles, rows: Rows, parts: Sequence[Tensor]) -> None:
        values: list[Halves] = [part.cpu().numpy() for part in parts]
        for name, value in zip(self.plan.parts, values, strict=True):
            if not np.isfinite(value).all():
                raise RunError(
                    f"teacher {self.plan.teacher} gives features ({name}) that are not finite or "
                    f"above {np.finfo(np.float16).max:.0f}, the largest number of the half "
                    "precision that a cache holds; run without method_args.cache"
                )
        wanted = rows >= 0
        files.write(rows[wanted], [value[wanted] for value in values])

    def _opened(self) -> CacheFiles:
        if self._files is None:
            self._files = CacheFiles(self.plan)
        return self._files

    def __getstate__(self) -> dict[str, Any]:
        # Open files can neither be copied nor pickled. They are opened again.
        return {**self.__dict__, "_files": None}


class CacheFiles:
    """The open files of a cache. They are created if they do not exist.

    Args:
        plan: Where they are, and their shapes.

    Raises:
        ConfigError: They are damaged, or cannot be created.
    """

    def __init__(self, plan: CachePlan) -> None:
        self._plan = plan
        try:
            _create_once(plan)
            self._parts = [_load(plan.part(name)) for name in plan.parts]
            self._checksums = _load(plan.checksums)
            # In the order in which a row is written: the checksum comes last.
            self._writers: list[FileIO] | None = [
                path.open("r+b", buffering=0)
                for path in (*map(plan.part, plan.parts), plan.checksums)
            ]
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"config.method_args.cache: cannot use '{plan.folder}': {error}\n  remove this "
                "folder, which is then created again, or use another one (method_args.cache_dir)"
            ) from error
        shapes = [(plan.num_rows, *shape) for shape in (*plan.parts.values(), ())]
        if [array.shape for array in (*self._parts, self._checksums)] != shapes:
            raise ConfigError(
                f"config.method_args.cache: the files in '{plan.folder}' have other shapes than "
                "in cache.json; remove this folder, which is then created again"
            )

    def read(self, rows: Rows, pinned: bool = False) -> tuple[Rows, list[Tensor]]:
        """Read the rows that are written.

        Args:
            rows: (B,); -1 is never written.
            pinned: Whether the tensors are in pinned memory, for copies to a GPU without waiting.

        Returns:
            Positions in `rows` (b,) of those that are written, ascending, and their parts
            (b, *shape).
        """
        expected = self._checksums[rows]
        found = np.flatnonzero((rows >= 0) & (expected != 0))
        parts = []
        for part in self._parts:
            buffer = torch.empty(
                (len(found), *part.shape[1:]), dtype=torch.float16, pin_memory=pinned
            )
            # "clip" writes right into the buffer, "raise" does not; no row is out of range.
            np.take(part, rows[found], axis=0, out=buffer.numpy(), mode="clip")
            parts.append(buffer)
        right = checksums([part.numpy() for part in parts]) == expected[found]
        if right.all():
            return found, parts
        return found[right], [part[torch.from_numpy(right)] for part in parts]

    def write(self, rows: Rows, parts: Sequence[Halves]) -> None:
        """Write rows, each before its checksum. When the disk is full, warn and stop writing.

        Args:
            rows: (b,), all >= 0.
            parts: (b, *shape) each.
        """
        if self._writers is None:
            return
        arrays = [*self._parts, self._checksums]
        try:
            contents: list[npt.NDArray[Any]] = [*parts, checksums(parts)]
            for file, array, values in zip(self._writers, arrays, contents, strict=True):
                _write_rows(file, array, rows, values)
        except OSError as error:
            self._writers = None
            log.warning(
                "The teacher's features of further views are not kept, but computed each time: "
                "'%s' cannot be written to: %s",
                self._plan.folder,
                error.strerror or error,
            )


def checksums(parts: Sequence[Halves]) -> npt.NDArray[np.uint64]:
    """Return one number >= 1 for each row, the sum of its words over all parts, (b,).

    It differs for a row that is cut off, or overwritten in part by another.

    Args:
        parts: (b, *shape) each, contiguous.
    """
    total = np.ones(len(parts[0]), np.uint64)
    for part in parts:
        rows = np.ascontiguousarray(part).reshape(len(part), prod(part.shape[1:]))
        word = np.uint64 if rows.shape[1] % 4 == 0 else np.uint16  # a half has two bytes
        total += rows.view(word).sum(axis=1, dtype=np.uint64)
    return np.maximum(total, 1)


def _write_rows(
    file: FileIO, array: np.memmap[Any, Any], rows: Rows, values: npt.NDArray[Any]
) -> None:
    # Not through the mapping, where a full disk would end the program without an error.
    size = array.dtype.itemsize * prod(array.shape[1:])
    for row, value in zip(rows.tolist(), values, strict=True):
        file.seek(array.offset + row * size)
        if file.write(value.tobytes()) != size:
            raise OSError(errno.ENOSPC, "the disk is full")


def _create_once(plan: CachePlan) -> None:
    """Create the files, unless they exist. Of several processes one does it."""
    if plan.description.is_file():
        return
    plan.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(plan.folder / ".lock"):
        if plan.description.is_file():
            return
        for name, shape in plan.parts.items():
            _create(plan.part(name), (plan.num_rows, *shape), np.float16)
        _create(plan.checksums, (plan.num_rows,), np.uint64)
        with atomic_path(plan.description) as temporary:
            temporary.write_text(json.dumps(plan.facts, indent=2) + "\n", encoding="utf-8")


def _create(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    # Zeros, which take no space yet where the file system supports sparse files.
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _load(path: Path) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="r")


def _halves(parts: Sequence[Tensor]) -> list[Tensor]:
    # One memory format, so that sums are equal whether a tensor was computed or read.
    return [part.to(torch.float16, memory_format=torch.contiguous_format) for part in parts]


def _positions(positions: Rows, images: Tensor) -> Tensor:
    return torch.from_numpy(positions).to(images.device, non_blocking=True)
