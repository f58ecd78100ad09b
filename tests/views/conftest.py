import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photo():
    """An image with soft and hard edges, noise and all colours, (90, 120, 3) uint8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:90, 0:120]
    waves = np.stack([np.sin(x / 9 + y / 17), np.cos(x / 5), np.sin(y / 11 - x / 23)], axis=-1)
    pixels = 128 + 110 * waves + rng.normal(0, 12, (90, 120, 3))
    pixels[20:50, 30:70] = (250, 10, 128)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def rng():
    """Make a generator from a seed."""
    return np.random.default_rng
