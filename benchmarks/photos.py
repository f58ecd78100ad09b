"""Photographs of the sizes that users have, made of the two photographs of scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

#: Folder name, and (width, height) and number of the photographs in it.
SIZES = {
    "500x375": ((500, 375), 48),
    "1920x1440": ((1920, 1440), 16),
    "4000x3000": ((4000, 3000), 8),
}


def write_photos(root: Path) -> None:
    """Write a folder of JPEGs for each of `SIZES`, unless it is there.

    Each is another part of a photograph, enlarged, with the noise of a camera. The files have about
    as many bytes a pixel as photographs of this quality.
    """
    originals = load_sample_images().images
    for name, (size, number) in SIZES.items():
        folder = root / name
        if folder.is_dir():
            continue
        folder.mkdir(parents=True)
        for index in range(number):
            rng = np.random.default_rng(index)
            height, width = originals[0].shape[:2]
            left, top = rng.integers(width // 4), rng.integers(height // 4)
            box = (left, top, left + width * 3 // 4, top + height * 3 // 4)
            image = Image.fromarray(originals[index % 2]).crop(box)
            image = image.resize(size, Image.Resampling.BICUBIC)
            noisy = np.asarray(image) + rng.normal(0, 5, (size[1], size[0], 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index:03}.jpg", quality=90)
