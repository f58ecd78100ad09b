"""Small images and a transform whose output shows its input."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_core.contracts import Sample, Transform


class TinyTransform(Transform):
    """One view: the image scaled to 4x4 pixels, and three random numbers as parameters."""

    def sample(self, image, rng, index):
        if not isinstance(image, Image.Image):
            pixels = torch.from_numpy(np.ascontiguousarray(image[:4, :4]))
        else:
            pixels = torch.from_numpy(np.array(image.resize((4, 4))))
        pixels = pixels.reshape(4, 4, -1).permute(2, 0, 1).contiguous()  # (C, 4, 4)
        parameters = torch.from_numpy(rng.random(3, dtype=np.float32))
        return Sample(index, [pixels], [parameters], {"position": torch.tensor(index)})

    def views(self, pixels, parameters):
        return [view.float() for view in pixels]


@pytest.fixture
def transform():
    return TinyTransform()


@pytest.fixture
def write_images():
    """Write grey images of 8x8 pixels; the k-th has the value k everywhere."""

    def write(folder, names):
        paths = []
        for value, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), value).save(path)
            paths.append(path)
        return paths

    return write
