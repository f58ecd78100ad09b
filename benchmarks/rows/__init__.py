"""What is measured, and the goal of each row: a module for each part of the table."""

from __future__ import annotations

from benchmarks.row import Row
from benchmarks.rows import (
    commands,
    covariance,
    features,
    gpu,
    input_path,
    training,
    waiting,
    workers,
)


def all_rows() -> list[Row]:
    """Return the rows in the order of the page."""
    parts = (input_path, training, commands, covariance, features, workers, gpu, waiting)
    return [row for part in parts for row in part.rows()]
