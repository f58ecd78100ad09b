"""Whole runs: the steps, and the time until the first."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield a row for each method and size, and the start."""
    for method, size in (("simclr", "128"), ("simclr", "224"), ("dino", "128")):
        arguments = (method, "torchvision/resnet18", size, "16", "@500x375", "step")
        yield Row(
            name=f"training step, {method}, ResNet-18, {size} px, bf16",
            unit="ms an image",
            ours=program("our_run", *arguments),
            peer=program("lightly_train_run", *arguments, code="peer"),
            peer_name="LightlyTrain",
            least_ratio=1.4,
        )
    arguments = ("simclr", "torchvision/resnet18", "128", "16", "@500x375", "start")
    yield Row(
        name="command to the first step",
        unit="s",
        ours=program("our_run", *arguments),
        peer=program("lightly_train_run", *arguments, code="peer"),
        peer_name="LightlyTrain",
        least_ratio=1 / 0.6,
    )
