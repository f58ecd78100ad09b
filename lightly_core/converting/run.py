"""Writes a network in a format, and compares the file with the network."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from lightly_core.config.options.export import ExportConfig
from lightly_core.contracts.format import ExportedNetwork, ExportFormat, Written
from lightly_core.converting.checks import export_format, exported_part, output_path
from lightly_core.converting.network import open_network
from lightly_core.converting.place import staged
from lightly_core.converting.result import ExportResult
from lightly_core.engine.logs import RunLogs
from lightly_core.engine.stops import like_ctrl_c
from lightly_core.errors import ConfigError, PluginError, RunError
from lightly_core.exporting.comparison import largest_difference
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import Plugins
from lightly_core.plugins.loading import load_target, missing_requirements
from lightly_core.plugins.records import FormatRecord
from lightly_core.progress import working

logger = logging.getLogger(__name__)


def export_network(config: ExportConfig, plugins: Plugins) -> ExportResult:
    """Write the network that the settings name.

    Args:
        config: Settings without problems, see `export_checks`.
        plugins: The installed plugins.

    Raises:
        ConfigError: The network cannot be opened, or the format cannot hold it; nothing was
            written.
        PluginError: A plugin cannot be used.
        RunError: The file cannot be written, or computes something else than the network.
    """
    with RunLogs(True, plugins.catalog.packages()), like_ctrl_c():
        record = export_format(config, plugins.catalog)
        export = load_format(record)
        network = open_network(config, exported_part(config, record), plugins.catalog)
        if problem := export.problem(network):
            raise ConfigError(_refused(record, network, problem, plugins.catalog))
        return write_network(network, export, record, output_path(config))


def load_format(record: FormatRecord) -> ExportFormat:
    """Build a format.

    Raises:
        PluginError: It cannot be imported, or is no format.
    """
    loaded = load_target(record)
    if not (isinstance(loaded, type) and issubclass(loaded, ExportFormat)):
        raise PluginError(
            f"target {record.target} of {record.label} of {record.owner} is {loaded!r}, expected a "
            f"subclass of ExportFormat\n  report this to the authors of {record.owner}"
        )
    return loaded()


def write_network(
    network: ExportedNetwork, export: ExportFormat, record: FormatRecord, path: Path
) -> ExportResult:
    """Write a network that a format can hold, compare the file, and move it to its place.

    Args:
        network: The network.
        export: The format.
        record: Its record.
        path: Absolute path of the file or folder; it is replaced if it exists.

    Raises:
        ConfigError: The format cannot hold the network.
        RunError: The file cannot be written, or computes something else than the network.
    """
    try:
        with staged(path, folder=record.is_folder) as temporary:
            with working(f"Writing {record.name}"):
                written = export.write(network, temporary)
            with working(f"Comparing {record.name} with the network"):
                difference = _compared(network, export, record, temporary, written)
    except OSError as error:
        raise RunError(f"'{path}' cannot be written: {error}") from error
    files = tuple(sorted(path.iterdir())) if record.is_folder else (path,)
    result = ExportResult(
        path=path,
        files=files,
        format=record.name,
        part=network.part,
        largest_difference=difference,
        any_size=written.any_size,
        snippet=export.snippet(network, path),
    )
    _report(result, network, written)
    return result


def _compared(
    network: ExportedNetwork,
    export: ExportFormat,
    record: FormatRecord,
    path: Path,
    written: Written,
) -> float | None:
    """Return the largest difference between the file and the network; None: it was not loaded."""
    found = export.reload(network, path)
    if found is None:
        return None
    expected = export.expected(network)
    difference, shapes = largest_difference(network, found, expected, written)
    shown = " and ".join(f"{batch} x {height} x {width}" for batch, height, width in shapes)
    if not difference <= export.tolerance:
        raise RunError(
            f"the {record.label} of {network.title} computes something else than the network: on "
            f"random images ({shown}) values differ by up to {difference:.2g} of the largest "
            f"value, allowed are {export.tolerance:.0e}; nothing was written"
            "\n  use another format, or report this with the model's name"
        )
    logger.info(
        "Loaded and compared on random images (%s): the largest difference is %.1e of the largest "
        "value (allowed: %.0e).",
        shown,
        difference,
        export.tolerance,
    )
    return difference


def _report(result: ExportResult, network: ExportedNetwork, written: Written) -> None:
    for note in written.notes:
        logger.info("%s", note)
    if network.embedding is not network.wrapper and result.part != "embedding_model":
        logger.info("The layer of embed_dim is not in it; part=embedding_model includes the layer.")
    size = sum(file.stat().st_size for file in result.files)
    logger.info(
        "%s, %s, written as %s (%.1f MB): %s",
        network.title,
        result.part,
        result.format,
        size / 1e6,
        result.path,
    )
    logger.info("To load it:\n\n%s\n", result.snippet)


def _refused(record: FormatRecord, network: ExportedNetwork, problem: str, catalog: Catalog) -> str:
    others = ", ".join(_able(record, network, catalog))
    return (
        f"config.format: {record.label} cannot hold {network.title}: {problem}"
        f"\n  formats that can: {others}"
    )


def _able(record: FormatRecord, network: ExportedNetwork, catalog: Catalog) -> Iterator[str]:
    """Yield the other formats that can hold the same part of a network."""
    for other in catalog.records("format"):
        if other == record or network.part not in other.parts or missing_requirements(other):
            continue
        try:
            if load_format(other).problem(network) is None:
                yield catalog.usable_name(other)
        except Exception:  # a format of a plugin may raise any error
            continue
