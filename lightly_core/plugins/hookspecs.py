"""The hooks that a plugin may implement, and the marker it puts on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog

PROJECT = "lightly"

#: Oldest and newest plugin API (``LIGHTLY_API`` of a plugin's module) that this version accepts.
#: A new hook, hook argument or optional protocol does not raise it; taking one away does.
OLDEST_API, NEWEST_API = 1, 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def lightly_register(catalog: Catalog) -> None:
    """Add the plugin's records to the catalog.

    Called once, at start-up, so neither this function nor its module may import anything heavy.

    Args:
        catalog: Takes records of import strings; whatever they point to is imported on first use.
    """


@hookspec
def lightly_run_start(run: object) -> None:
    """Look at a run before its first step, on every process.

    Args:
        run: The run that is about to start. An exception is reported and does not stop it.
    """


@hookspec
def lightly_run_end(run: object) -> None:
    """Look at a run after its last step, also when it failed or was interrupted.

    Args:
        run: The same object that `lightly_run_start` got.
    """


#: Names of all hooks.
HOOKS = ("lightly_register", "lightly_run_start", "lightly_run_end")
