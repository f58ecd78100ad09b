"""Methods whose losses are of the covariance of wide embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row, program

_BY_HAND = (
    "LARS reads weights and gradients once more, for their norms, and gradients are checked to be "
    "finite. The loop does neither."
)
_BOUNDS = {
    "time": "The matrix products of the projector, which has 134 million weights.",
    "memory": "The gradients and the momentum of the projector in float32, 1,142 MiB.",
}


def rows() -> Iterator[Row]:
    """Yield the losses with their gradients, and whole steps."""
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
    for method, size in (("vicreg", "32"), ("barlowtwins", "32"), ("vicregl", "64")):
        for batch in ("32", "256"):
            yield from _steps(method, size, batch)


def _steps(method: str, size: str, batch: str) -> Iterator[Row]:
    """Yield time and memory of a step, compared with an earlier commit and with the least."""
    for what, unit in (("time", "ms"), ("memory", "MiB")):
        arguments = (method, size, batch)
        name = f"{what} of a step, {method}, ResNet-18 at {size} px, 8192 dimensions, batch {batch}"
        ours = program("wide_step", *arguments, value=what)
        yield Row(
            name=name,
            unit=unit,
            ours=ours,
            peer=program("wide_step", *arguments, code="before", value=what),
            peer_name="before",
            least_ratio=3.0,
            bound=_BOUNDS[what],
        )
        if method != "vicregl":
            yield Row(
                name=f"{name}, by hand",
                unit=unit,
                ours=ours,
                peer=program("wide_by_hand", *arguments, value=what),
                peer_name="by hand",
                least_ratio=0.9,
                bound=_BY_HAND,
            )
