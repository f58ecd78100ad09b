"""Sizes that are advised: closed forms."""

import math

import pytest

from lightly_core.advising.sizes import (
    fit_epochs,
    images_per_second,
    most_images_seen,
    network_args,
    networks,
    view_side,
)


@pytest.mark.parametrize(
    ("images", "hours", "on_gpu", "size"),
    [
        (5_000, 1, True, "resnet18"),
        (5_000_000, 100, False, "resnet18"),
        (100_000, 4, True, "resnet50"),
        (99_999, 4, True, "resnet18"),
        (100_000, 3.9, True, "resnet18"),
    ],
)
def test_the_large_network_needs_images_time_and_a_gpu(images, hours, on_gpu, size):
    names = networks(images, hours, on_gpu)
    assert {name.partition("/")[2] for name in names} == {size}


@pytest.mark.parametrize(
    ("shorter", "network", "on_gpu", "side"),
    [
        (8, "convolutional", False, 32),
        (32, "convolutional", True, 32),
        (100, "convolutional", True, 96),
        (300, "convolutional", False, 96),
        (300, "convolutional", True, 224),
        (32, "transformer", False, 224),
        (32, None, True, 224),
    ],
)
def test_the_side_of_a_view(shorter, network, on_gpu, side):
    assert view_side(shorter, network, on_gpu) == side


def test_the_stem_for_small_images_is_torchvisions():
    assert network_args("torchvision/resnet18", 64) == {"small_stem": True}
    assert network_args("torchvision/resnet18", 96) == network_args("timm/resnet18", 32) == {}


@pytest.mark.parametrize(
    ("wanted", "hours", "per_second", "epochs"),
    [
        (200, 1, 100, 162),  # 0.9 * 3600 * 100 / 2000
        (100, 1, 100, 100),
        (200, 0.001, 100, 1),
        (200, 1, None, 200),
    ],
)
def test_epochs_fit_into_the_time(wanted, hours, per_second, epochs):
    budget = fit_epochs(2_000, wanted, hours, per_second)
    assert (budget.epochs, budget.wanted) == (epochs, wanted)
    assert budget.images_seen == epochs * 2_000
    assert budget.seconds == (None if per_second is None else epochs * 20)


def test_without_a_speed_there_is_no_limit():
    assert most_images_seen(1, None) == math.inf


@pytest.mark.parametrize(
    ("reading", "workers", "on_cpu", "expected"),
    [
        (None, 4, False, 100),
        (50, 4, False, 100),
        (20, 4, False, 80),
        (50, 0, False, 100 / 3),
        (25, 1, True, 50),  # 1/100 s of training and 1/(25 * 4) s of reading on 4 CPUs
    ],
)
def test_the_slower_part_decides_and_a_cpu_does_both(reading, workers, on_cpu, expected):
    found = images_per_second(100, reading, workers=workers, cpus=4, on_cpu=on_cpu)
    assert found == pytest.approx(expected)
