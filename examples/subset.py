"""Make a smaller data set: the first images, by name, of every class folder.

    python examples/subset.py SOURCE TARGET IMAGES_PER_CLASS

Files are hard-linked where the disk can, else copied.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def make_subset(source: Path, target: Path, per_class: int) -> int:
    """Fill `target` and return the number of images in it."""
    count = 0
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:per_class]:
            try:
                os.link(image, target / folder.name / image.name)
            except OSError:
                shutil.copyfile(image, target / folder.name / image.name)
            count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[3].isdigit():
        sys.exit(__doc__)
    print(make_subset(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])), "images")
