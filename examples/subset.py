"""Create a smaller data set from the first images, by name, of every class folder.

    python examples/subset.py SOURCE TARGET IMAGES_PER_CLASS

Files are hard-linked if the file system supports it, else copied.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path


def make_subset(source: Path, target: Path, per_class: int) -> int:
    """Create the class folders in `target`, and return the number of images in them."""
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


def main() -> None:
    """Create the data set, and print its size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="folder with a folder of images for each class")
    parser.add_argument("target", type=Path, help="folder to create the same class folders in")
    parser.add_argument("images_per_class", type=int, help="images to take from each class folder")
    options = parser.parse_args()
    if options.images_per_class < 1:
        parser.error(f"expected images_per_class >= 1, got {options.images_per_class}")
    print(make_subset(options.source, options.target, options.images_per_class), "images")


if __name__ == "__main__":
    main()
