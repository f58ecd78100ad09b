"""CPU seconds of a command of ours on a folder of photographs with two classes.

python photo_command.py FOLDER NUMBER WORD...

The words follow ``lightly``. In them, ``DATA`` and ``OUT`` are replaced by the folder of NUMBER
photographs, which are links to those in FOLDER, and by a path for the result.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def link_photos(folder: Path, number: int, target: Path) -> None:
    """Fill two class folders in turn with links to the photographs of a folder."""
    photos = sorted(folder.absolute().glob("*.jpg"))
    for index in range(number):
        inside = target / "ab"[index % 2]
        inside.mkdir(parents=True, exist_ok=True)
        os.symlink(photos[index % len(photos)], inside / f"{index:06}.jpg")


def child_seconds(words: Sequence[str]) -> float:
    """Run this interpreter with some arguments and return the CPU seconds of that process."""
    before = _children_seconds()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(folder: str, number: str, *words: str) -> None:
    """Run the command."""
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        link_photos(Path(folder), int(number), data)
        places = {"DATA": str(data), "OUT": f"{temporary}/out"}
        for name, place in places.items():
            words = tuple(word.replace(name, place) for word in words)
        value = child_seconds(("-m", "lightly_core.cli", *words))
    print(json.dumps({"value": value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
