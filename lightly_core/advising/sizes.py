"""Sizes that are advised: the network, the side of a view, the epochs. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import define

from lightly_core.advising.evidence import Network
from lightly_core.config.options.short_runs import SMALL_SIDE

#: Networks that are advised without `model`, by library.
_SMALL = ("torchvision/resnet18", "timm/resnet18")
_LARGE = ("torchvision/resnet50", "timm/resnet50")
#: Images and hours from which the large network is advised, on a GPU.
_MANY_IMAGES, _MANY_HOURS = 100_000, 4.0
#: Side of a view by default, in pixels.
DEFAULT_SIDE = 224
#: Sides are multiples of this, the stride of most networks.
_STRIDE = 32
#: Side of a view up to which the first layers of a torchvision ResNet are replaced by those for
#: small images, as in the measured runs.
_SMALL_STEM = 64
#: Fraction of the time that is for training. Accuracy, checkpoints and export take the rest.
_TRAINING = 0.9


def networks(images: int, hours: float, on_gpu: bool) -> Sequence[str]:
    """Return names of networks to take if the user names none. The first that exists is taken.

    Args:
        images: Number of images.
        hours: Time for the run.
        on_gpu: Whether it runs on a GPU.
    """
    large = on_gpu and images >= _MANY_IMAGES and hours >= _MANY_HOURS
    return _LARGE if large else _SMALL


def network_args(model: str, side: int) -> dict[str, object]:
    """Return `model_args` of a network that was chosen by `networks`.

    Args:
        model: Its name.
        side: Side of a view.
    """
    return {"small_stem": True} if model.startswith("torchvision/") and side <= _SMALL_STEM else {}


def view_side(shorter: int, network: Network | None, on_gpu: bool) -> int:
    """Return the side of a view in pixels.

    Convolutional networks take any side, so it is at most the shorter side of the images, and small
    on a CPU. Others take the default, as they may take no other.

    Args:
        shorter: Median of the shorter sides of the images.
        network: Kind of the network.
        on_gpu: Whether the run is on a GPU.
    """
    if network != "convolutional":
        return DEFAULT_SIDE
    most = DEFAULT_SIDE if on_gpu else SMALL_SIDE
    return max(_STRIDE, min(most, shorter) // _STRIDE * _STRIDE)


@define(frozen=True, kw_only=True)
class Budget:
    """The length of a run.

    Attributes:
        epochs: Passes over the images.
        images_seen: Images that are seen.
        seconds: Time of the training; None: the speed is not known.
        wanted: Epochs without a limit of time.
    """

    epochs: int
    images_seen: int
    seconds: float | None
    wanted: int


def most_images_seen(hours: float, per_second: float | None) -> float:
    """Return how many images a run can see in a time.

    Args:
        hours: Time for the run.
        per_second: Images a second; None: not known, and then there is no limit.
    """
    return math.inf if per_second is None else _TRAINING * 3600 * hours * per_second


def fit_epochs(images: int, wanted: int, hours: float, per_second: float | None) -> Budget:
    """Return as many epochs as are wanted and fit into a time, at least 1.

    Args:
        images: Number of images.
        wanted: Epochs without a limit of time, at least 1.
        hours: Time for the run.
        per_second: Images a second; None: not known, and then there is no limit.
    """
    epochs = int(max(1, min(wanted, most_images_seen(hours, per_second) // images)))
    seen = epochs * images
    seconds = None if per_second is None else seen / per_second
    return Budget(epochs=epochs, images_seen=seen, seconds=seconds, wanted=wanted)


def images_per_second(
    network: float, reading: float | None, *, workers: int, cpus: int, on_cpu: bool
) -> float:
    """Return the speed of a run from those of its parts.

    On a CPU reading and training share the cores. Beside a GPU, workers read while it trains.

    Args:
        network: Images a second of the network without waiting for data.
        reading: Images a second of one process that reads; None: the images are in memory.
        workers: Processes that read.
        cpus: CPUs that the run may use.
        on_cpu: Whether the network is trained on them.
    """
    if reading is None:
        return network
    if on_cpu:
        return 1 / (1 / network + 1 / (reading * cpus))
    if workers == 0:
        return 1 / (1 / network + 1 / reading)
    return min(network, reading * workers)
