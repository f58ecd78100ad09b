"""The launcher of a suite: its options are checked before anything is loaded or written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from lightly_core.benchmarking.forking import modules_of
from lightly_core.config.options.suite import SuiteConfig
from lightly_core.config.reading.structure import structure
from lightly_core.contracts.launcher import Launcher, RowMachine, SuiteInfo
from lightly_core.errors import ConfigError, PluginError
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.loading import load_check, load_config, load_target
from lightly_core.plugins.records import LauncherRecord

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row, Suite


@define(frozen=True)
class LauncherChoice:
    """A launcher with checked options. Nothing heavy is imported yet.

    Attributes:
        record: Its record.
        options: Instance of its option class.
    """

    record: LauncherRecord
    options: object

    def row_machine(self) -> RowMachine | None:
        """Return what a row may use; None: all of this machine."""
        return self._target().row_machine(self.options)

    def build(self, suite: SuiteInfo) -> Launcher:
        """Build the launcher. It is not open yet."""
        return self._target()(self.options, suite)

    def _target(self) -> type[Launcher]:
        target = load_target(self.record)
        if not (isinstance(target, type) and issubclass(target, Launcher)):
            raise PluginError(
                f"target of {self.record.label} is {target!r}, expected a subclass of Launcher"
                f"\n  report this to the authors of {self.record.owner}"
            )
        return target


def choose_launcher(
    config: SuiteConfig, catalog: Catalog, problems: list[str]
) -> LauncherChoice | None:
    """Check the settings of the launcher.

    Args:
        config: Settings of the suite.
        catalog: What the plugins provide.
        problems: Gets the mistakes.

    Returns:
        The choice; None if there are mistakes.
    """
    try:
        record = catalog.get("launcher", config.launcher)
        options: object = structure(
            config.launcher_args, load_config(record), path="suite.launcher_args"
        )
        found = [f"suite.launcher: {text}" for text in load_check(record)(options)]
    except ConfigError as error:
        problems += error.problems
        return None
    except PluginError as error:
        problems.append(f"suite.launcher: {error}")
        return None
    problems += found
    return None if found else LauncherChoice(record, options)


@contextmanager
def launcher_of(
    suite: Suite, rows: Sequence[Row], say: Callable[[str], None]
) -> Iterator[Launcher]:
    """Build the launcher of a suite, and close it after the ``with`` block.

    Args:
        suite: The suite.
        rows: Rows that will be run.
        say: Shows a line to the user.
    """
    folder = Path(os.path.abspath(suite.folder))
    modules = modules_of([variant for row in rows for variant in row.variants])
    info = SuiteInfo(suite.name, folder, tuple(modules), say)
    launcher = suite.launcher.build(info)
    try:
        yield launcher
    finally:
        launcher.close()
