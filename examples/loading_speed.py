"""Measure how fast views of small images are created, from files or from memory.

    python examples/loading_speed.py [IMAGES]

Writes random images of 32 x 32 pixels to a temporary folder (default: 2000 of each format) and
creates SimCLR's two views of each in batches of 256. Prints images per second of one core, in CPU
time of this process. "First stage" is the work of a loader process: crop, resize, flip and all
random numbers. "With colours" adds the second stage on the same core, as in training on a CPU. If a
GPU computes the views, the CPU only does "numbers only". No model is run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from lightly_core.data.dataset import RawBatch
    from lightly_core.data.memory import ImageMemory
    from lightly_core.data.views.two_stage import TwoStageTransform

SIDE = 32
BATCH = 256
ROUNDS = 3


def write_images(folder: Path, number: int, suffix: str) -> None:
    """Write smooth waves with some noise, which compress about as well as photographs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for index in range(number):
        waves = np.stack([np.sin(9 * (a * x + b * y)) for a, b in rng.normal(0, 1, (3, 2))], -1)
        pixels = 128 + 90 * waves + rng.normal(0, 8, waves.shape)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{index:06}.{suffix}")


def images_per_second(loader: Iterable[RawBatch], after: Callable[[RawBatch], object]) -> float:
    """Return the highest rate of several rounds over all batches."""
    rates = []
    for _ in range(ROUNDS):
        start, number = time.process_time(), 0
        for batch in loader:
            after(batch)
            number += len(batch.indices)
        rates.append(number / (time.process_time() - start))
    return max(rates)


def measure(folder: Path, suffix: str) -> None:
    """Print the rows of one format."""
    # Imported here, so that --help is fast.
    import torch

    from lightly_core.config.options.transform import TransformArgs
    from lightly_core.data.dataset import build_loader
    from lightly_core.data.memory import read_all
    from lightly_core.data.memory_loader import MemoryLoader
    from lightly_core.data.sources import open_source
    from lightly_core.data.views.two_stage import TwoStageTransform

    torch.set_num_threads(1)
    source = open_source(str(folder))
    transform = TwoStageTransform(TransformArgs(image_size=SIDE, num_views=2))
    slow = build_loader(
        source,
        transform,
        seed=0,
        per_device_batch_size=min(BATCH, len(source)),
        rank=0,
        world_size=1,
        num_workers=0,
        pin_memory=False,
    )
    start = time.process_time()
    memory = read_all(source, 3)
    seconds = time.process_time() - start
    fast = MemoryLoader(memory, transform, slow, torch.device("cpu"))
    stages: dict[str, Callable[[RawBatch], object]] = {
        "first stage": lambda batch: None,
        "with colours": lambda batch: transform.views(batch.pixels, batch.parameters),
    }
    for name, after in stages.items():
        rates = [images_per_second(loader, after) for loader in (slow, fast)]
        print(
            f"| {suffix} | {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.1f} |"
        )
    print(f"| {suffix} | numbers only | | {sampled_per_second(transform, memory):,.0f} | |")
    print(f"| {suffix} | reading once | | {len(source) / seconds:,.0f} | |")


def sampled_per_second(transform: TwoStageTransform, memory: ImageMemory) -> float:
    """Return images per second for sampling the random numbers of both stages."""
    from lightly_core.data.reading import sample_rng
    from lightly_core.data.views.batch_sampling import ViewSampler

    sampler = ViewSampler(
        transform.specs, memory.image_size, rgb=True, seed=0, make_generator=sample_rng
    )
    keys = [(0, index) for index in range(BATCH)]
    start = time.process_time()
    for _ in range(ROUNDS):
        sampler.sample(keys)
    return ROUNDS * BATCH / (time.process_time() - start)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "images", nargs="?", type=int, default=2000, help="images of each format (default: 2000)"
    )
    count = parser.parse_args().images
    print("| format | images/s | decoded each time | in memory | ratio |\n|---|---|---|---|---|")
    for file_format in ("png", "jpg"):
        with tempfile.TemporaryDirectory() as temporary:
            write_images(Path(temporary), count, file_format)
            measure(Path(temporary), file_format)


if __name__ == "__main__":
    main()
