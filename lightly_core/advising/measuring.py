"""What is looked at and measured before advice: images, the network, and its speed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from attrs import evolve, frozen
from PIL import Image
from torch import nn

from lightly_core.advising.evidence import Network, Pixels
from lightly_core.advising.sizes import images_per_second
from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.resolve import Resolved, resolve
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.load import Settings
from lightly_core.contracts.capabilities import TokenModel
from lightly_core.data.base import ImageSource
from lightly_core.data.channels import image_size
from lightly_core.data.loading import load_or_reason
from lightly_core.data.memory_choice import choose_memory
from lightly_core.diagnosing.batch import BatchTrial, largest_batch
from lightly_core.diagnosing.reading import measure_reading, sampled
from lightly_core.download.rehearsal import rehearsing
from lightly_core.engine.build import build_run, build_transform
from lightly_core.errors import DataError
from lightly_core.models.without_numbers import is_for_want_of_numbers, without_numbers
from lightly_core.models.wrapping import build_model
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.model_names import takes_any_size

#: Images whose sizes are looked at, and images that are read to measure the reading.
_SIZES, _READ = 16, 64
#: Fraction of the parameters in convolutions from which a network is convolutional.
_CONVOLUTIONS = 0.5

Decoded: TypeAlias = "Image.Image | np.ndarray"


@frozen
class Speed:
    """The measured speed of a run.

    Attributes:
        per_second: Images a second, with reading; None: not measured.
        batch_size: Images of a batch, fewer than those given if these do not fit into the GPU.
        text: How it was measured, or why not.
    """

    per_second: float | None
    batch_size: int
    text: str


def some_images(source: ImageSource) -> list[Decoded]:
    """Return some images. Large JPEGs are shrunk.

    Raises:
        DataError: None of them can be read.
    """
    indices = sampled(len(source), _SIZES)
    images = [load_or_reason(source, index) for index in indices]
    found = [image for image in images if not isinstance(image, str)]
    if not found:
        raise DataError(
            f"none of {len(indices)} images tried can be read: {source.name(indices[0])}: "
            f"{images[0]}\n  give other images in data; `lightly doctor` lists the reasons"
        )
    return found


def shorter_side(images: Sequence[Decoded]) -> int:
    """Return the median of the shorter sides, in pixels."""
    return int(statistics.median_low([min(image_size(image)) for image in images]))


def pixels_of(images: Sequence[Decoded]) -> Pixels:
    """Return "grey" if most images have the same values in all channels, or one channel."""
    grey = [_is_grey(np.asarray(image)) for image in images]
    return "grey" if 2 * sum(grey) > len(grey) else "colour"


def _is_grey(pixels: np.ndarray) -> bool:
    """Return whether all channels of (H, W) or (H, W, C) are equal."""
    return pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())


def kind_of_network(settings: Settings, catalog: Catalog) -> Network | None:
    """Return the kind of the network; None: another kind, or not known.

    Raises:
        LightlyError: The network cannot be built.
    """
    model = settings.run.model
    named = isinstance(model, str)
    try:
        with without_numbers():
            built = build_model(
                model.value if isinstance(model, PythonObject) else model,
                catalog=catalog,
                num_input_channels=settings.transform.channels,
                model_args=settings.run.model_args,
            )
    except Exception as error:
        if is_for_want_of_numbers(error):
            return None
        raise
    if isinstance(built.wrapper, TokenModel):
        return "transformer"
    any_size = named and takes_any_size(*catalog.model(str(model)))
    return "convolutional" if any_size or is_convolutional(built.wrapper.get_model()) else None


def is_convolutional(module: nn.Module) -> bool:
    """Return whether most parameters of a network are those of convolutions."""
    convolutions = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    inside = sum(p.numel() for part in convolutions for p in part.parameters(recurse=False))
    return inside > _CONVOLUTIONS * sum(p.numel() for p in module.parameters())


def measure_speed(
    settings: Settings, source: ImageSource, machine: Machine, catalog: Catalog, seconds: float
) -> Speed:
    """Measure some training steps on one device, and the reading of some images.

    Weights are random, and nothing is downloaded.

    Args:
        settings: Those of the run.
        source: The images.
        machine: Facts about the machine.
        catalog: What the plugins provide.
        seconds: Time for the steps, and time for the reading.

    Raises:
        LightlyError: The network cannot be built, or does not fit the method.
    """
    alone = evolve(settings, run=evolve(settings.run, devices=1))
    memory = choose_memory(settings, source)
    resolved = resolve(alone, machine, len(source), memory=memory, draw_seed=lambda: 0)
    batch_size = resolved.run.batch_size
    try:
        with rehearsing():
            built = build_run(resolved, source, catalog)
    except Exception as error:
        if is_for_want_of_numbers(error):
            return Speed(None, batch_size, "not measured, as that would download weights")
        raise
    device = _device(str(resolved.run.accelerator))
    trial = BatchTrial(built, resolved, source, device)
    if device.type == "cuda":
        batch_size = largest_batch(trial.fits, batch_size, batch_size).fits or 0
        if batch_size == 0:
            return Speed(None, 1, "not measured, as not even one image fits into the GPU")
    network = trial.images_per_second_within(batch_size, seconds)
    rate, text = _with_reading(network, resolved, source, machine, seconds)
    return Speed(rate, batch_size, f"{text}, measured on this {_NAMES[device.type]}")


_NAMES = {"cuda": "GPU", "mps": "Apple GPU", "cpu": "CPU"}


def _with_reading(
    network: float, resolved: Resolved, source: ImageSource, machine: Machine, seconds: float
) -> tuple[float, str]:
    """Return images a second with the reading, and a text about both."""
    if resolved.memory.use:
        return network, f"training {network:,.1f} images/s, images in memory"
    indices = sampled(len(source), _READ)
    reading = measure_reading(source, build_transform(resolved), indices, seconds)
    if reading is None:
        return network, f"training {network:,.1f} images/s"
    rate = images_per_second(
        network,
        reading.per_second,
        workers=int(resolved.run.num_workers),
        cpus=machine.cpus,
        on_cpu=resolved.run.accelerator == "cpu",
    )
    text = f"training {network:,.1f} and reading {reading.per_second:,.1f} images/s a process"
    return rate, text


def _device(accelerator: str) -> torch.device:
    names = {"gpu": "cuda:0", "cuda": "cuda:0", "mps": "mps"}
    return torch.device(names.get(accelerator, "cpu"))
