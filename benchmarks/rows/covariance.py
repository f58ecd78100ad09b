"""Methods whose losses are of the covariance of wide embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program


def rows() -> Iterator[Row]:
    """Yield the losses with their gradients."""
    for method in ("vicreg", "barlowtwins"):
        for number in ("32", "256"):
            yield Row(
                name=f"loss and gradient, {method}, {number} images of 8192 dimensions",
                unit="ms",
                ours=program("covariance", method, number, "ours"),
                peer=program("covariance", method, number, "plain"),
                peer_name="whole matrices",
                least_ratio=3.0,
            )
