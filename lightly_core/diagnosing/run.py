"""Makes all measurements of `lightly doctor`."""

from __future__ import annotations

from lightly_core.config.auto.machine import Machine
from lightly_core.config.options.doctor import DoctorConfig
from lightly_core.config.reading.load import Settings
from lightly_core.diagnosing.devices import auto_accelerator, devices
from lightly_core.diagnosing.plugins import plugin_states
from lightly_core.diagnosing.report import DoctorReport, Section
from lightly_core.diagnosing.versions import versions
from lightly_core.engine.images import open_images
from lightly_core.engine.lightning_import import import_lightning
from lightly_core.engine.machine import inspect_machine
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import Plugins


def diagnose(config: DoctorConfig, settings: Settings | None, plugins: Plugins) -> DoctorReport:
    """Return the report.

    Args:
        config: Settings of the doctor.
        settings: Those of a run with `data`; None: there are no images.
        plugins: Catalog and states.

    Raises:
        DataError: There are no images.
        LightlyError: The network cannot be built.
    """
    machine = inspect_machine()
    sections = [versions(), devices(machine), plugin_states(plugins)]
    if settings is None:
        hint = "give data=FOLDER to measure how fast images are read"
        return DoctorReport((*sections, Section("Images", (), (hint,))))
    return DoctorReport((*sections, *_with_images(config, settings, machine, plugins.catalog)))


def _with_images(
    config: DoctorConfig, settings: Settings, machine: Machine, catalog: Catalog
) -> list[Section]:
    """Return the sections about images and network."""
    import_lightning()
    from lightly_core.diagnosing import images

    source = open_images(settings)
    network: images.Network | None = None
    wanted = auto_accelerator(machine) if config.accelerator == "auto" else config.accelerator
    if config.model is not None and wanted in ("gpu", "cuda") and machine.cuda_devices:
        network = images.measure_network(settings, source, machine, catalog)
    sections = [
        images.image_section(
            settings,
            source,
            machine,
            num_images=config.num_images,
            seconds=config.seconds,
            network=network,
        )
    ]
    if network is not None:
        sections.append(images.network_section(settings, network, machine.cuda_devices))
    elif config.model is not None:
        reason = "not tried, as a CPU has no memory of its own; lower batch_size if memory runs out"
        sections.append(Section("Network", (("largest batch", reason),)))
    return sections
