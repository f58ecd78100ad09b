"""Whole runs: the steps, what the framework adds to them, short epochs, and the first step."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import BEFORE
from benchmarks.row import Row, program

#: Method and size in pixels.
STEPS = (("simclr", "128"), ("simclr", "224"), ("dino", "128"), ("distillationv2", "128"))


def rows() -> Iterator[Row]:
    """Yield the rows of steps, of the framework, of short epochs, and the start."""
    for method, size in STEPS:
        yield from _step(method, size)
    yield Row(
        name="framework alone: a step of a tiny model, less a loop by hand",
        unit="ms a step",
        ours=program("framework"),
        peer=program("framework", code="before"),
        peer_name=f"commit {BEFORE}",
        most=2.0,
        bound="Callback hooks and attributes that Lightning sets on the module at each of them.",
    )
    for name, workers in (("images in memory", "0"), ("one loader process", "1")):
        arguments = ("torchvision/resnet18", workers)
        yield Row(
            name=f"short epochs (500 images of 32 px, ResNet-18), {name}",
            unit="s an epoch",
            ours=program("our_epochs", *arguments),
            peer=program("lightly_train_epochs", *arguments, code="peer"),
            peer_name="LightlyTrain",
            least_ratio=4.0,
            bound="The three steps of the network itself, which both tools compute.",
        )
    arguments = ("simclr", "torchvision/resnet18", "128", "16", "@500x375", "start")
    yield Row(
        name="command to the first step",
        unit="s",
        ours=program("our_run", *arguments),
        peer=program("lightly_train_run", *arguments, code="peer"),
        peer_name="LightlyTrain",
        least_ratio=1 / 0.6,
        bound="Importing torch and torch._dynamo, three fifths of the time, which both tools do.",
    )


def _step(method: str, size: str) -> Iterator[Row]:
    """Yield the comparisons of a step with LightlyTrain and with a loop by hand."""
    arguments = (method, "torchvision/resnet18", size, "16", "@500x375")
    name = f"training step, {method}, ResNet-18, {size} px"
    ours = program("our_run", *arguments, "step")
    yield Row(
        name=name,
        unit="ms an image",
        ours=ours,
        peer=program("lightly_train_run", *arguments, "step", code="peer"),
        peer_name="LightlyTrain",
        least_ratio=1.4,
        bound="The network's own operations, which both tools compute by the same libraries.",
    )
    yield Row(
        name=f"{name}, with JPEGs",
        unit="ms an image",
        ours=ours,
        peer=program("plain_loop", *arguments),
        peer_name="a loop by hand, images in memory",
        least_ratio=1 / 1.03,
        bound="Our value includes reading and decoding of the JPEGs, the loop's does not.",
    )
