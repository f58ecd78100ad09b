"""Advice follows from the measurements, and names them."""

import pytest

from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.diagnosing.advice import loss_advice, workers_advice
from lightly_core.diagnosing.speed import ReadingSpeed

DECODED = MemoryChoice(use=False, reason="views have sides of 224 pixels, more than 64")
KEPT = MemoryChoice(use=True, reason="all images have 32 x 32 pixels")


def speed(disk=0.0, decode=0.0, views=0.0, images=100):
    """A speed by the milliseconds of its parts."""
    return ReadingSpeed(
        images=images,
        disk=disk / 1e3,
        decode=decode / 1e3,
        views=views / 1e3,
        megapixels=12.0,
        kilobytes=3000.0,
        cold=True,
    )


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (None, "leave num_workers=auto, 7 workers: one worker reads 50 images/s, so about 350 "),
        (120, "set num_workers=3, or leave it at auto (7): the network trains on 120 images/s"),
        (350, "set num_workers=7, or leave it at auto (7)"),
        (400, "will wait, as one worker reads 50 images/s, all together about 350 images/s; 8 "),
    ],
)
def test_workers_are_those_that_the_network_needs(network, expected):
    assert expected in workers_advice(speed(decode=20), DECODED, 7, network)


def test_images_in_memory_need_no_workers():
    assert "32 x 32 pixels" in workers_advice(speed(decode=20), KEPT, 7, 1e6)
    assert list(loss_advice(speed(disk=90), KEPT, None, 512)) == []


@pytest.mark.parametrize(
    ("measured", "copies", "expected"),
    [
        (speed(disk=60, decode=40), None, ["the disk takes 60 % of the reading (60.0 ms"]),
        (speed(decode=80, views=20), speed(decode=5, views=20), ["read 4.0 times as fast"]),
        (speed(decode=80, views=20), speed(decode=75, views=20), []),
        (speed(decode=80, views=20), None, []),
        (speed(decode=20, views=80), None, ["cropping and resizing take 80 %"]),
        (speed(disk=40, decode=30, views=30), None, []),
        (speed(disk=60, decode=40), speed(decode=10), ["the disk", "read 10.0 times as fast"]),
    ],
)
def test_what_is_lost_is_named_only_where_it_was_measured(measured, copies, expected):
    found = list(loss_advice(measured, DECODED, copies, 512))
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text
