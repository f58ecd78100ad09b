"""Starts `lightly doctor` from settings of the command line, of a file or of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightly_core.config.options.doctor import DoctorConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.diagnosing.report import DoctorReport
from lightly_core.diagnosing.settings import doctor_problems, run_settings
from lightly_core.plugins.discovery import get_plugins
from lightly_core.terminal import terminal_width


def doctor_with(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> DoctorReport:
    """Check the settings completely, then measure; see `lightly_core.doctor`.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
    """
    plugins = get_plugins()
    with loaded_options(
        DoctorConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(lambda config: list(doctor_problems(config)),),
    ) as config:
        settings = None if config.data is None else run_settings(config, plugins.catalog)
        from lightly_core.diagnosing.run import diagnose
        from lightly_core.engine.logs import RunLogs
        from lightly_core.failures import explained

        with RunLogs(True, plugins.catalog.packages(), to_stderr=True), explained():
            return diagnose(config, settings, plugins)


def print_doctor(config_file: str | None, pairs: Sequence[str]) -> None:
    """Run `lightly doctor`: print the report, wrapped to the width of a terminal."""
    report = doctor_with(config_file=config_file, pairs=pairs)
    print(report.text(terminal_width()))
