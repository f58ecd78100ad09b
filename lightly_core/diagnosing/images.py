"""The sections about the images of `data`: their reading, and the largest batch of a network."""

from __future__ import annotations

import torch
from attrs import evolve, frozen

from lightly_core.config.auto.machine import Machine
from lightly_core.config.auto.memory import MemoryChoice
from lightly_core.config.auto.resolve import Resolved, resolve
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.memory_choice import choose_memory
from lightly_core.data.names import shown
from lightly_core.diagnosing.advice import loss_advice, workers_advice
from lightly_core.diagnosing.batch import BatchTrial, Largest, largest_batch
from lightly_core.diagnosing.reading import copies, measure_reading, sampled
from lightly_core.diagnosing.report import Section
from lightly_core.diagnosing.speed import ReadingSpeed
from lightly_core.engine.build import build_run, build_transform
from lightly_core.plugins.catalog import Catalog

#: Shorter side of the smaller copies that are tried, in pixels, and in sides of a view.
_COPY_SIDE, _COPY_VIEWS = 512, 2
#: Fraction of the reading that decoding must take, so that smaller copies are tried.
_DECODING = 0.4
_MOST_BATCH = 1 << 16
_MOST_NAMES = 10


@frozen
class Network:
    """What was measured of the network on a device with memory of its own.

    Attributes:
        largest: The largest batch.
        batch_size: Images of the batch with which the speed was measured.
        per_second: Images a second.
    """

    largest: Largest
    batch_size: int
    per_second: float


def image_section(
    settings: Settings,
    source: ImageSource,
    machine: Machine,
    *,
    num_images: int,
    seconds: float,
    network: Network | None,
) -> Section:
    """Measure the reading of some images.

    Args:
        settings: Those of a run with the images.
        source: The images.
        machine: Facts about the machine.
        num_images: Images that are read at most.
        seconds: Time after which no further image is read.
        network: What was measured of the network; None: nothing.
    """
    memory = choose_memory(settings, source)
    resolved = resolve(settings, machine, len(source), memory=memory, draw_seed=lambda: 0)
    transform = build_transform(settings)
    indices = sampled(len(source), num_images)
    speed = measure_reading(source, transform, indices, seconds)
    rows = [("images", f"{len(source):,} in {_data(settings)}")]
    if speed is None:
        rows.append(("reading", f"none of {len(indices)} images tried can be read"))
        return Section("Images", tuple(rows), ("give other images in data",))
    small, side = None, max(_COPY_SIDE, _COPY_VIEWS * max(settings.transform.size))
    if speed.decode >= _DECODING * speed.seconds and not memory.use:
        copied = copies(source, indices, side)
        if copied is not None:
            small = measure_reading(copied, transform, range(len(copied)), seconds)
    fits = network is not None and network.largest.fits is not None
    rate = network.per_second if network is not None and fits else None
    advice = [
        workers_advice(speed, memory, int(resolved.run.num_workers), rate),
        *loss_advice(speed, memory, small, side),
    ]
    rows += _speed_rows(speed, resolved)
    rows.append(("in_memory", f"auto: {'yes' if memory.use else 'no'}, {memory.reason}"))
    return Section("Images", tuple(rows), tuple(advice))


def _speed_rows(speed: ReadingSpeed, resolved: Resolved) -> list[tuple[str, str]]:
    parts = [("decoding", speed.decode), ("crops and resizing", speed.views)]
    size = f"{speed.megapixels:.2f} megapixels"
    if speed.kilobytes:
        parts.insert(0, ("disk", speed.disk))
        size += f", files of {speed.kilobytes:,.0f} kB"
    time = [f"{name} {1e3 * part:.2f} ms ({speed.percent(part)})" for name, part in parts]
    rows = [
        ("mean size", size),
        (
            "reading",
            f"{speed.per_second:,.0f} images/s in one process, of {speed.images} images with the "
            f"views of {resolved.method_record.name}",
        ),
        ("one image", ", ".join(time)),
    ]
    if speed.kilobytes and not speed.cold:
        rows.append(("disk", "files may have been in the system's cache"))
    if speed.unreadable:
        names = [f"'{shown(name)}' ({shown(why)})" for name, why in speed.unreadable[:_MOST_NAMES]]
        count = len(speed.unreadable)
        rows.append(("unreadable", f"{count} of {speed.images + count}: {', '.join(names)}"))
    return rows


def measure_network(
    settings: Settings, source: ImageSource, machine: Machine, catalog: Catalog
) -> Network:
    """Find the largest batch of the model on one CUDA device, and measure its speed.

    Raises:
        LightlyError: The network cannot be built, or a step fails.
    """
    alone = evolve(settings, run=evolve(settings.run, devices=1))
    memory = MemoryChoice(use=False, reason="images are read one by one")
    resolved = resolve(alone, machine, len(source), memory=memory, draw_seed=lambda: 0)
    built = build_run(resolved, source, catalog)
    trial = BatchTrial(built, resolved, source, torch.device("cuda", 0))
    largest = largest_batch(trial.fits, resolved.run.batch_size, min(len(source), _MOST_BATCH))
    if largest.fits is None:
        return Network(largest, 0, 0.0)
    size = min(resolved.run.batch_size, largest.fits)
    return Network(largest, size, trial.images_per_second(size))


def network_section(settings: Settings, network: Network, num_devices: int) -> Section:
    """Return what was measured of the network.

    Args:
        settings: Those of a run with the images.
        network: What was measured.
        num_devices: CUDA devices of the machine.
    """
    model, largest = shown(str(settings.run.model)), network.largest
    title = f"{model} with {settings.method_record.name} on one GPU"
    if largest.fits is None:
        return Section(
            title,
            (("largest batch", "none, a batch of one image does not fit"),),
            ("use a smaller model or smaller views, or activation_checkpoint_args.enabled=true",),
        )
    fails = "all that were tried fit" if largest.fails is None else f"{largest.fails} do not fit"
    rows = (
        ("largest batch", f"{largest.fits:,} images fit, {fails}"),
        ("speed", f"{network.per_second:,.0f} images/s with batches of {network.batch_size:,}"),
    )
    whole = largest.fits * num_devices
    on_all = f" ({largest.fits:,} on each of {num_devices} GPUs)" if num_devices > 1 else ""
    advice = f"batch_size may be up to {whole:,}{on_all}: larger ones were tried and do not fit"
    if largest.fails is None:
        advice = f"batch_size may be up to {whole:,}{on_all}, the largest that was tried"
    return Section(title, rows, (advice,))


def _data(settings: Settings) -> str:
    data = settings.run.data
    if isinstance(data, PythonObject):
        return str(data)
    return ", ".join(map(shown, [data] if isinstance(data, str) else data[:3]))
