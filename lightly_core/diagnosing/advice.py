"""What to change so that images are read faster, from measurements. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.diagnosing.speed import ReadingSpeed

#: Fraction of the reading from which a part is worth a change.
_LARGE_PART = 0.5
#: Factor by which smaller copies must be faster to be suggested.
_LEAST_GAIN = 1.2


def workers_advice(
    speed: ReadingSpeed, memory: MemoryChoice, auto_workers: int, network: float | None
) -> str:
    """Return the number of workers to set, and why.

    Args:
        speed: Of one process.
        memory: Whether the images are kept in memory.
        auto_workers: Workers that `num_workers=auto` takes.
        network: Images a second that the network trains on; None: not measured.
    """
    if memory.use:
        return f"leave num_workers=auto: images are kept in memory, as {memory.reason}"
    rate = speed.per_second
    made = f"one worker reads {_rate(rate)}"
    whole = _rate(rate * max(auto_workers, 1))
    if network is None:
        return (
            f"leave num_workers=auto, {_workers(auto_workers)}: {made}, so about {whole} are read; "
            "a network that trains faster than that waits for images"
        )
    needed = math.ceil(network / rate)
    if needed <= auto_workers:
        return (
            f"set num_workers={needed}, or leave it at auto ({auto_workers}): the network trains "
            f"on {_rate(network)}, and {made}"
        )
    return (
        f"leave num_workers=auto, {_workers(auto_workers)}: the network trains on "
        f"{_rate(network)} and will wait, as {made}, all together about {whole}; {needed} would "
        "be needed"
    )


def loss_advice(
    speed: ReadingSpeed, memory: MemoryChoice, copies: ReadingSpeed | None, side: int
) -> Iterator[str]:
    """Yield where the time of reading is lost, and what to change.

    Args:
        speed: Of one process.
        memory: Whether the images are kept in memory.
        copies: The same of smaller copies of some images; None: not measured.
        side: Shorter side of the copies in pixels.
    """
    if memory.use:
        return
    if speed.disk >= _LARGE_PART * speed.seconds:
        yield (
            f"the disk takes {speed.percent(speed.disk)} of the reading "
            f"({1e3 * speed.disk:.1f} ms for a file of {speed.kilobytes:,.0f} kB): copy the images "
            "to a local disk, or into shards (docs/data-sources.md)"
        )
    if copies is not None and copies.per_second >= _LEAST_GAIN * speed.per_second:
        yield (
            f"the images have {speed.megapixels:.1f} megapixels, and decoding takes "
            f"{speed.percent(speed.decode)} of the reading: copies with a shorter side of {side} "
            f"pixels were read {copies.per_second / speed.per_second:.1f} times as fast "
            f"({copies.images} copies, in memory); small crops are then enlarged"
        )
    elif speed.views >= _LARGE_PART * speed.seconds:
        yield (
            f"cropping and resizing take {speed.percent(speed.views)} of the reading "
            f"({1e3 * speed.views:.1f} ms an image): fewer or smaller views are made faster"
        )


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f} images/s" if per_second >= 10 else f"{per_second:.1f} images/s"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
