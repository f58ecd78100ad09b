"""File name endings of images. Imports nothing heavy."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

from lightly_core.data.names import shown

#: Endings of image files, upper or lower case. The list is fixed, so that a folder holds the same
#: images on every machine, whatever its Pillow can read. Of a GIF the first frame is used.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
        *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"),
    )
)
#: Endings of images that need an optional package: its distribution and its module.
OPTIONAL_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), ("pillow-heif", "pillow_heif")),
    **dict.fromkeys((".dcm", ".dicom"), ("pydicom", "pydicom")),
}
#: Endings of text files with one path per line.
LIST_SUFFIXES = (".txt", ".csv", ".lst")
#: Counted in place of an ending for skipped files that are not regular files.
SPECIAL = "pipe or device"
_SHOWN_ENDINGS = 5
_LONGEST_ENDING = 12


def suffix(path: str) -> str:
    """Return the ending of a file name with its dot, in lower case."""
    return os.path.splitext(path)[1].lower()


def is_image_name(path: str) -> bool:
    """Return whether a file counts as an image by its ending."""
    return suffix(path) in image_suffixes()


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Return the endings that count as images with the installed packages."""
    return IMAGE_SUFFIXES | {
        ending for ending, (_, module) in OPTIONAL_SUFFIXES.items() if find_spec(module)
    }


def endings() -> str:
    """Return the image endings as text, the same on every machine."""
    optional = " ".join(sorted(OPTIONAL_SUFFIXES))
    packages = " and ".join(sorted({package for package, _ in OPTIONAL_SUFFIXES.values()}))
    return f"{' '.join(sorted(IMAGE_SUFFIXES))} (with {packages} also {optional})"


def what_to_install(names: Iterable[str]) -> str:
    """Return the end of a message that names the packages needed to read some files, or "".

    Args:
        names: Endings, or names of files.
    """
    missing: dict[str, set[str]] = {}
    for name in names:
        ending = suffix(f"x{name}" if name.startswith(".") else name)
        if ending in OPTIONAL_SUFFIXES and ending not in image_suffixes():
            missing.setdefault(OPTIONAL_SUFFIXES[ending][0], set()).add(ending)
    if not missing:
        return ""
    packages = " ".join(sorted(missing))
    read = "them" if len(missing) == 1 else " ".join(sorted(set().union(*missing.values())))
    return f"; install {packages} to read {read}"


def counted(others: Counter[str]) -> str:
    """Describe files that are not images: how many per ending."""
    ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    kinds = [f"{count} {_ending(ending)}" for ending, count in ranked[:_SHOWN_ENDINGS]]
    return f"{', '.join(kinds)}{', ...' if ranked[_SHOWN_ENDINGS:] else ''}"


def skipped_files(others: Counter[str]) -> str:
    """Return one sentence on the files of a folder that do not count as images."""
    total = others.total()
    files = "1 file" if total == 1 else f"{total:,} files"
    return f"{files} skipped: {counted(others)}{what_to_install(others)}"


def _ending(ending: str) -> str:
    if not ending:
        return "without ending"
    name = shown(ending)
    return name if len(name) <= _LONGEST_ENDING or ending == SPECIAL else f"{name[:9]}..."
