"""Whole runs on a CUDA device with all cores of the machine. They fail where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program

#: The case of `gpu_run`, its description, and the images a second that are the goal on an H200.
CASES = (
    ("simclr", "SimCLR, ViT-S/16, two views of 224 px, 500x375", 3_000),
    ("distillation", "distillation, ViT-B/14 to ResNet-18, 224 px, 500x375", 3_000),
    ("in_memory", "SimCLR, ResNet-18, 32 px, in memory", 20_000),
)


def rows() -> Iterator[Row]:
    """Yield the speed, and the part of the time spent waiting for data."""
    for case, name, goal in CASES:
        yield Row(
            name=f"on a GPU: {name}",
            unit="ms an image",
            ours=program("gpu_run", case, "@500x375", value="speed"),
            most=1000 / goal,
        )
        yield Row(
            name=f"on a GPU, waiting for data: {name}",
            unit="%",
            ours=program("gpu_run", case, "@500x375", value="wait"),
            most=5.0,
        )
