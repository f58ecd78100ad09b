"""CPU milliseconds an image of decoding and resizing alone, with the crops of `our_views.py`.

simplejpeg decodes, at the same scale as ours, and torch resizes with the same filter. Crops are
chosen before the measurement. No flips, no parameters, no checks of files.

python plain_views.py METHOD FOLDER
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F

from lightly_core.config.options.method import MethodConfig
from lightly_core.data.formats.jpeg import shrink_factor
from lightly_core.data.reading import sample_rng
from lightly_core.data.views import parameters
from lightly_core.data.views.geometry import Box, least_scale, sample_geometry, scaled
from lightly_core.data.views.two_stage import TwoStageTransform
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import load_config


class Plan(NamedTuple):
    """Size of the decoded image, and its crops."""

    file: Path
    height: int
    width: int
    crops: list[tuple[Box, tuple[int, int]]]


def plan(transform: TwoStageTransform, file: Path, epoch: int, index: int) -> Plan:
    """Choose the crops as `TwoStageTransform.plan` does."""
    height, width, *_ = simplejpeg.decode_jpeg_header(file.read_bytes())
    rng = sample_rng(0, epoch, index)
    geometries = []
    for spec in transform.specs:
        geometries.append(sample_geometry(spec, height, width, rng))
        parameters.sample(spec, rng, rgb=transform.rgb)
    pairs = list(zip(geometries, transform.specs, strict=True))
    factor = shrink_factor(max(least_scale(view.box, spec.size) for view, spec in pairs))
    new_size = math.ceil(height / factor), math.ceil(width / factor)
    crops = [(scaled(view, (height, width), new_size).box, spec.size) for view, spec in pairs]
    return Plan(file, *new_size, crops)


def views(plan: Plan, interpolation: str) -> list[torch.Tensor]:
    """Decode and resize."""
    data = plan.file.read_bytes()
    image = simplejpeg.decode_jpeg(data, min_height=plan.height, min_width=plan.width)
    resized = []
    for box, size in plan.crops:
        crop = torch.from_numpy(np.ascontiguousarray(image[box.rows, box.columns]))
        batch = crop.permute(2, 0, 1)[None]
        resized.append(F.interpolate(batch, size, mode=interpolation, antialias=True)[0])
    return resized


def main(method: str, folder: str) -> None:
    """Measure the second epoch: the first one imports libraries and gets memory."""
    torch.set_num_threads(1)
    config = load_config(get_plugins().catalog.get("method", method))
    assert issubclass(config, MethodConfig)
    transform = TwoStageTransform(config.default_transform())
    interpolation = transform.args.interpolation
    files = sorted(Path(folder).glob("*.jpg"))
    for epoch in range(2):
        plans = [plan(transform, file, epoch, index) for index, file in enumerate(files)]
        start = time.process_time()
        samples = [views(chosen, interpolation) for chosen in plans]
        for number in range(len(transform.specs)):
            torch.stack([sample[number] for sample in samples])
    print(json.dumps({"value": (time.process_time() - start) / len(files) * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
