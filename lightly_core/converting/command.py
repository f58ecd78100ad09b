"""Starts `lightly export` from settings of the command line, of a file or of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.options.export import ExportConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.converting.checks import export_checks
from lightly_core.plugins.discovery import get_plugins

if TYPE_CHECKING:
    from lightly_core.converting.result import ExportResult


def export_with(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> ExportResult:
    """Check the settings completely, then export; see `lightly_core.export`.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
    """
    plugins = get_plugins()
    with loaded_options(
        ExportConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(export_checks(plugins.catalog),),
    ) as config:
        from lightly_core.converting.run import export_network
        from lightly_core.failures import explained

        with explained():
            return export_network(config, plugins)
