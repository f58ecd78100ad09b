"""What training waits for."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield the save of a checkpoint, compared with two others."""
    save = program("checkpoint", "save")
    yield Row(
        name="training waits for a checkpoint, 100 million weights with AdamW",
        unit="s by the clock",
        ours=save,
        peer=program("checkpoint", "save", code="before"),
        peer_name="before",
        least_ratio=5.0,
    )
    yield Row(
        name="the same, and a copy of the tensors alone",
        unit="s by the clock",
        ours=save,
        peer=program("checkpoint", "copy"),
        peer_name="copy",
        least_ratio=0.8,
    )
