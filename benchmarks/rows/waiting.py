"""What training and suites wait for: checkpoints, and the start of rows."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield the save of a checkpoint, twice, and the start of a row."""
    save = program("checkpoint", "save")
    yield Row(
        name="training waits for a checkpoint, 100 million weights with AdamW",
        unit="s by the clock",
        ours=save,
        peer=program("checkpoint", "save", code="before"),
        peer_name="before",
        least_ratio=3.0,
    )
    yield Row(
        name="the same, and a copy of the tensors alone",
        unit="s by the clock",
        ours=save,
        peer=program("checkpoint", "copy"),
        peer_name="copy",
        least_ratio=0.8,
    )
    yield Row(
        name="start of a suite's row to its first step",
        unit="s",
        ours=program("suite_row"),
        peer=program("suite_row", code="before"),
        peer_name="before",
        least_ratio=3.0,
    )
