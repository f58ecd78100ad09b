"""Folders with many files, to measure what the number of files costs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Files of a folder. File systems allow at least as many links to one file.
_IN_A_FOLDER = 1000


def write_files(photos: Path, folder: Path, number: int) -> None:
    """Fill a folder with photographs, in folders of a thousand, unless it is there.

    The files of each of these folders are links to one copy, so they take little space.

    Args:
        photos: Folder with JPEGs; its first one is copied.
        folder: Folder to write.
        number: Files in all.
    """
    if folder.is_dir():
        return
    photo = min(photos.glob("*.jpg"))
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for start in range(0, number, _IN_A_FOLDER):
        inside = partial / f"{start // _IN_A_FOLDER:05}"
        inside.mkdir(parents=True)
        first = str(inside / f"{start:08}.jpg")
        shutil.copyfile(photo, first)
        for index in range(start + 1, min(start + _IN_A_FOLDER, number)):
            os.link(first, f"{inside}/{index:08}.jpg")
    partial.rename(folder)
