"""CPU milliseconds an image of the input path: from JPEG files to a normalised batch.

python our_views.py METHOD FOLDER all|worker
"""

from __future__ import annotations

import json
import sys
import time

import torch

from lightly_core.config.options.method import MethodConfig
from lightly_core.data.dataset import TrainingDataset, collate
from lightly_core.data.decode import smallest_useful_side
from lightly_core.data.sources import open_source
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config


def main(method: str, folder: str, part: str) -> None:
    """Measure the second epoch: the first one imports libraries and gets memory."""
    torch.set_num_threads(1)
    config = load_config(get_plugins().catalog.get("method", method))
    assert issubclass(config, MethodConfig)
    transform = TwoStageTransform(config.default_transform())
    source = open_source(folder, min_side=smallest_useful_side(transform.specs))
    images = TrainingDataset(source, transform, seed=0)
    number = len(images)
    for epoch in range(2):
        start = time.process_time()
        batch = collate([images[epoch, index] for index in range(number)])
        if part == "all":
            transform.views(batch.pixels, batch.parameters)
    print(json.dumps({"value": (time.process_time() - start) / number * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
