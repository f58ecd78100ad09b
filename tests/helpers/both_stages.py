"""The two stages of a transform, one after the other."""

import numpy as np
import torch


def run(transform, images, first_seed=0):
    """Both stages on a batch; image i has seed first_seed + i."""
    samples = [
        transform.sample(image, np.random.default_rng(first_seed + i), i)
        for i, image in enumerate(images)
    ]
    pixels = [torch.stack(views) for views in zip(*(s.views for s in samples), strict=True)]
    vectors = [torch.stack(p) for p in zip(*(s.parameters for s in samples), strict=True)]
    return transform.views(pixels, vectors)
