"""What is measured, and the goal of each row."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from benchmarks.photos import SIZES

_PROGRAMS = "benchmarks.programs"


@frozen
class Program:
    """A command that measures one thing.

    Attributes:
        words: Arguments of the interpreter. ``@NAME`` in a word is a folder of photographs.
        foreign: Whether it runs in the environment of the peers.
        whole_process: Whether its value is the CPU time of its process, in seconds. If not, it
            prints the value.
    """

    words: tuple[str, ...]
    foreign: bool = False
    whole_process: bool = False


@frozen
class Row:
    """One row of the table; smaller values are better.

    Attributes:
        name: What is measured.
        unit: Unit of the values.
        ours: Our program.
        peer: What it is compared with.
        peer_name: Name of that.
        least_ratio: Goal: the peer's value by ours is at least this.
        most: Goal: our value is at most this. It replaces `least_ratio`.
    """

    name: str
    unit: str
    ours: Program
    peer: Program | None = None
    peer_name: str = ""
    least_ratio: float = 1.0
    most: float | None = None


def _module(name: str, *arguments: str, **options: bool) -> Program:
    return Program(("-m", f"{_PROGRAMS}.{name}", *arguments), **options)


def _input_path() -> Iterator[Row]:
    whole = dict(zip(SIZES, (2.0, 2.5, 4.0), strict=True))
    worker = dict(zip(SIZES, (3.0, 2.5, 4.0), strict=True))
    for size in SIZES:
        for method in ("simclr", "dino", "distillation", "dinov2"):
            peer = _module("lightly_train_views", method, f"@{size}", foreign=True)
            yield Row(
                name=f"input path, {method}, {size}",
                unit="ms an image",
                ours=_module("our_views", method, f"@{size}", "all"),
                peer=peer,
                peer_name="LightlyTrain",
                least_ratio=whole[size],
            )
        yield Row(
            name=f"worker's part alone, simclr, {size}",
            unit="ms an image",
            ours=_module("our_views", "simclr", f"@{size}", "worker"),
            peer=_module("lightly_train_views", "simclr", f"@{size}", foreign=True),
            peer_name="LightlyTrain",
            least_ratio=worker[size],
        )


def _runs() -> Iterator[Row]:
    for method, size in (("simclr", "128"), ("simclr", "224"), ("dino", "128")):
        arguments = (method, "torchvision/resnet18", size, "16", "@500x375", "step")
        yield Row(
            name=f"training step, {method}, ResNet-18, {size} px, bf16",
            unit="ms an image",
            ours=_module("our_run", *arguments),
            peer=_module("lightly_train_run", *arguments, foreign=True),
            peer_name="LightlyTrain",
            least_ratio=1.4,
        )
    arguments = ("simclr", "torchvision/resnet18", "128", "16", "@500x375", "start")
    yield Row(
        name="command to the first step",
        unit="s",
        ours=_module("our_run", *arguments),
        peer=_module("lightly_train_run", *arguments, foreign=True),
        peer_name="LightlyTrain",
        least_ratio=1 / 0.6,
    )


def _commands() -> Iterator[Row]:
    for words in ("--help", "methods", "models"):
        yield Row(
            name=f"lightly {words}",
            unit="s",
            ours=Program(("-m", "lightly_core.cli", *words.split()), whole_process=True),
            most=0.5,
        )
    settings = ("out=unused", "data=@500x375", "model=torchvision/resnet18", "method=simclr")
    yield Row(
        name="lightly run --dry-run",
        unit="s",
        ours=Program(("-m", "lightly_core.cli", "run", *settings, "--dry-run"), whole_process=True),
        most=1.0,
    )


def _losses() -> Iterator[Row]:
    for method in ("vicreg", "barlowtwins"):
        for number in ("32", "256"):
            yield Row(
                name=f"loss and gradient, {method}, {number} images of 8192 dimensions",
                unit="ms",
                ours=_module("covariance", method, number, "ours"),
                peer=_module("covariance", method, number, "plain"),
                peer_name="whole matrices",
                least_ratio=3.0,
            )


def all_rows() -> list[Row]:
    """Return the rows in the order of the page."""
    memory = Row(
        name="memory of a loader worker, 1,000,000 files",
        unit="MiB",
        ours=_module("worker_memory", "@500x375", "1000000"),
        most=40.0,
    )
    return [*_input_path(), *_runs(), *_commands(), *_losses(), memory]
