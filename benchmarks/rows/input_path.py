"""From JPEG files to a normalised batch."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.photos import SIZES
from benchmarks.row import Row, program

METHODS = ("simclr", "dino", "distillation", "dinov2")

_DECODING = (
    "Entropy decoding, which every JPEG needs at any scale. Of a full decode by simplejpeg it "
    "takes two thirds at 500x375 and 1920x1440, and half at 4000x3000. No library with wheels for "
    "all systems decodes a part of a JPEG."
)


def rows() -> Iterator[Row]:
    """Yield the whole path, and the part of the loader's workers."""
    whole = dict(zip(SIZES, (2.0, 2.5, 4.0), strict=True))
    worker = dict(zip(SIZES, (3.0, 2.5, 4.0), strict=True))
    for size in SIZES:
        for method in METHODS:
            yield Row(
                name=f"input path, {method}, {size}",
                unit="ms an image",
                ours=program("our_views", method, f"@{size}", "all"),
                peer=program("lightly_train_views", method, f"@{size}", code="peer"),
                peer_name="LightlyTrain",
                least_ratio=whole[size],
                bound=_DECODING,
            )
        yield Row(
            name=f"worker's part alone, simclr, {size}",
            unit="ms an image",
            ours=program("our_views", "simclr", f"@{size}", "worker"),
            peer=program("lightly_train_views", "simclr", f"@{size}", code="peer"),
            peer_name="LightlyTrain",
            least_ratio=worker[size],
            bound=_DECODING,
        )
        yield Row(
            name=f"worker's part alone, simclr, {size}, against decoding and resizing alone",
            unit="ms an image",
            ours=program("our_views", "simclr", f"@{size}", "worker"),
            peer=program("plain_views", "simclr", f"@{size}"),
            peer_name="simplejpeg and torch",
            least_ratio=1 / 1.3,
            bound="Sampling of the crops, copies into views, and collation, beside the two.",
        )
