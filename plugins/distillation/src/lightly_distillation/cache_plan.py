"""The files of a cache of teacher features: where they are and how much space they need."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lightly_core.amounts import bytes_text
from lightly_core.contracts import RunContext
from lightly_core.download import cache_folder
from lightly_core.errors import ConfigError
from lightly_distillation.config import DistillationConfig

log = logging.getLogger(__name__)

#: Raised when the layout of the files changes, so that old ones are not read.
_LAYOUT = 1
#: Fraction of the free space that may be used. A full disk stops other programs.
_USABLE_FRACTION = 0.95
_HALF_BYTES, _CHECKSUM_BYTES = 2, 8


@dataclass(frozen=True)
class CachePlan:
    """The files of a cache. A plan neither creates nor opens them.

    Attributes:
        folder: Holds ``cache.json``, which lists what the features depend on and is written when
            the other files are complete, ``checksums.npy`` and one file for each part.
        num_rows: N * K, for N images and K views of each.
        parts: Name and shape of what is kept of a view.
        facts: What the features depend on; the name of the folder follows from it.
        teacher: For messages.
    """

    folder: Path
    num_rows: int
    parts: Mapping[str, tuple[int, ...]]
    facts: Mapping[str, Any]
    teacher: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one view's features and of their checksum."""
        return _HALF_BYTES * sum(map(prod, self.parts.values())) + _CHECKSUM_BYTES

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows."""
        return self.num_rows * self.row_bytes

    @property
    def description(self) -> Path:
        """The file that is written when all others are complete."""
        return self.folder / "cache.json"

    @property
    def checksums(self) -> Path:
        """The file of checksums, (N * K,) uint64; 0 for a row that is not written."""
        return self.folder / "checksums.npy"

    def part(self, name: str) -> Path:
        """Return the file of a part, (N * K, *shape) float16."""
        return self.folder / f"{name}.npy"

    def rows_written(self) -> int:
        """Return the number of rows that are written already."""
        if not self.description.is_file():
            return 0
        try:
            return int(np.count_nonzero(np.load(self.checksums, mmap_mode="r")))
        except (OSError, ValueError):
            return 0  # opening the cache raises the error


def plan_cache(
    config: DistillationConfig,
    context: RunContext,
    teacher: Mapping[str, object],
    parts: Mapping[str, tuple[int, ...]],
) -> CachePlan:
    """Return the plan of a cache that fits on its disk.

    Args:
        config: Options of the method, with a cache.
        context: Facts of the run.
        teacher: `lightly_distillation.teacher.Teacher.facts`.
        parts: Name and shape of what is kept of a view.

    Raises:
        ConfigError: It would be larger than `DistillationConfig.cache_max_gb` or than the free
            space, or the folder cannot be written to.
    """
    assert config.cache is not None
    facts = {
        "layout": _LAYOUT,
        "images": context.dataset_size,
        "views_per_image": config.cache,
        "parts": {name: list(shape) for name, shape in parts.items()},
        "teacher": dict(teacher),
        "views": dict(context.view_facts),
    }
    name = str(teacher["name"])
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:48]
    root = cache_folder() / "features" if config.cache_dir is None else Path(config.cache_dir)
    folder = root.expanduser().absolute() / f"{readable}-{digest}"
    plan = CachePlan(folder, context.dataset_size * config.cache, dict(parts), facts, name)
    _check(plan, config, context.dataset_size)
    return plan


def _check(plan: CachePlan, config: DistillationConfig, num_images: int) -> None:
    """Log how much space is needed, and raise an error if there is less."""
    views = "1 view" if config.cache == 1 else f"{config.cache} views"
    what = f"teacher features of {num_images} images x {views}"
    needed, written = plan.num_bytes, plan.rows_written()
    limit = int(config.cache_max_gb * 1e9)
    if needed > limit:
        raise ConfigError(
            f"config.method_args.cache: {what} need {bytes_text(needed)}, more than cache_max_gb="
            f"{config.cache_max_gb:g} allows{_remedies(plan, limit, num_images)}, or a larger "
            "cache_max_gb"
        )
    existing = next(path for path in (plan.folder, *plan.folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(
            f"config.method_args.cache: '{existing}' is not a folder that can be written to; "
            "set method_args.cache_dir, or LIGHTLY_CACHE_DIR, to one that can"
        )
    free = shutil.disk_usage(existing).free
    usable = int(free * _USABLE_FRACTION)
    missing = needed - written * plan.row_bytes
    if missing > usable:
        raise ConfigError(
            f"config.method_args.cache: {what} need {bytes_text(missing)}, but '{existing}' has "
            f"{bytes_text(free)} free, of which 95 % may be used"
            f"{_remedies(plan, usable, num_images)}, or another folder (method_args.cache_dir)"
        )
    log.info(
        "Cache: %s: %s in %s (%.0f %% written already). Each image is seen in these views "
        "only; images are not blended (mixup=false).",
        what,
        bytes_text(needed),
        plan.folder,
        100 * written / plan.num_rows,
    )


def _remedies(plan: CachePlan, limit: int, num_images: int) -> str:
    fitting = limit // (plan.row_bytes * num_images)
    ways = [f"fewer views (cache={fitting} fits)"] if fitting else []
    if any(len(shape) > 1 for shape in plan.parts.values()):
        ways += ["a smaller transform_args.image_size", "method=distillationv1, which keeps no map"]
    return f"\n  use {', '.join(ways)}" if ways else "\n  use fewer images"
