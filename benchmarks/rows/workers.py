"""Workers of the loader, and lists of many files."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield the memory of a worker."""
    yield Row(
        name="memory of a loader worker, 1,000,000 files",
        unit="MiB",
        ours=program("worker_memory", "@500x375", "1000000"),
        most=40.0,
    )
