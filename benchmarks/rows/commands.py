"""Commands that train nothing."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Program, Row


def rows() -> Iterator[Row]:
    """Yield a row for each command."""
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
