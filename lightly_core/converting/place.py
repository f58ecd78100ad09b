"""Puts a written file or folder into its place, complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.errors import ConfigError


@contextmanager
def staged(path: Path, *, folder: bool) -> Iterator[Path]:
    """Yield a path with the same name in a temporary folder. It is moved to `path` on success.

    Args:
        path: Absolute path of the file or folder.
        folder: Whether it is a folder. A folder that is replaced may hold no other files than the
            new one.

    Raises:
        ConfigError: The folder holds other files, which would be lost.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".writing", dir=path.parent))
    try:
        written = place / path.name
        yield written
        if folder:
            _move_folder(written, path, place)
        else:
            with atomic_path(path) as temporary:
                os.replace(written, temporary)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _move_folder(written: Path, path: Path, place: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    written.chmod(0o777 & ~umask)
    if path.is_dir():
        others = {file.name for file in path.iterdir()} - {file.name for file in written.iterdir()}
        if others:
            raise ConfigError(
                f"config.out: '{path}' holds files that are not of this format: "
                f"{', '.join(sorted(others)[:3])}{', ...' * (len(others) > 3)}"
                "\n  remove them, or choose another folder"
            )
        os.replace(path, place / "replaced")
    os.replace(written, path)
