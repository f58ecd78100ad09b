"""From the user's settings to a run, or to the checks of one. Torch is imported when it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.launch import is_first_process
from lightly_core.config.reading.load import Settings, load_settings
from lightly_core.data.check import check_data
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.lightning_import import import_lightning
from lightly_core.plugins.discovery import Plugins, get_plugins

if TYPE_CHECKING:
    from lightly_core.engine.dry_run import Form
    from lightly_core.engine.result import RunResult


def load(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> tuple[Settings, Plugins]:
    """Read and check the settings of a run.

    Args:
        config_file: TOML file with settings.
        pairs: Settings as ``key=value``.
        arguments: Settings of Python.

    Returns:
        The settings, and the installed plugins.

    Raises:
        ConfigError: Settings are wrong. The error names all mistakes.
        PluginError: A plugin that they need cannot be used.
    """
    plugins = get_plugins()
    settings = load_settings(
        catalog=plugins.catalog,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(_out_problems, check_data),
        check_files=True,
    )
    return settings, plugins


def execute(settings: Settings, plugins: Plugins) -> RunResult:
    """Run. It raises the errors of `lightly_core.pretrain`."""
    import_lightning()
    from lightly_core.engine import run

    with settings.layers.named_in_errors():
        return run.execute(settings, plugins)


def rehearse(settings: Settings, plugins: Plugins, *, build: bool, form: Form) -> None:
    """Make the checks of a run, see `lightly_core.engine.dry_run.dry_run`."""
    from lightly_core.engine.dry_run import dry_run

    with settings.layers.named_in_errors():
        dry_run(settings, plugins, build=build, form=form)


def _out_problems(run: RunConfig) -> list[str]:
    # The other processes start after the first one has created the folder.
    if not is_first_process():
        return []
    resume = run.resume_interrupted or bool(run.resume)
    if resume and run.overwrite:
        return []  # another check reports that these settings exclude each other
    return RunFolder(run.out).problems(overwrite=run.overwrite, resume=resume)
