"""Workers of the loader, and lists of many files."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield the memory of a worker, and what many files cost until the first step."""
    yield Row(
        name="memory of a loader worker, 1,000,000 files",
        unit="MiB",
        ours=program("worker_memory", "@500x375", "1000000"),
        most=40.0,
    )
    yield Row(
        name="1,000,000 files instead of few, to the first step",
        unit="s",
        ours=program("many_files", "@500x375", "1000000", "our_run"),
        peer=program("many_files", "@500x375", "1000000", "lightly_train_run", code="peer"),
        peer_name="LightlyTrain",
        least_ratio=1 / 0.7,
    )
