"""The hooks that a plugin may implement, and the marker for their implementations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pluggy
from attrs import frozen

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog

PROJECT = "lightly"

#: Oldest and newest plugin API (``LIGHTLY_API`` of a plugin's module) that this version accepts.
#: A new hook, hook argument or optional protocol does not raise it. Removing one does.
OLDEST_API, NEWEST_API = 2, 2

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


RunStatus = Literal["running", "finished", "interrupted", "failed"]


@frozen(kw_only=True)
class RunInfo:
    """Facts about a run, passed to the hooks of plugins.

    Attributes:
        out: The run folder.
        model: The user's name of the model, or the class of a module that was passed.
        method: Name of the method.
        config: All settings without "auto" and without secrets, as nested plain data. "derived"
            holds the numbers computed from them. The content of `config.json`.
        rank: Number of this process, in [0, world_size).
        world_size: Number of processes.
        total_steps: Optimizer steps of the run.
        resumed: Whether this run resumes an interrupted one.
        status: ``running`` at the start; ``finished``, ``interrupted`` or ``failed`` at the end.
    """

    out: Path
    model: str
    method: str
    config: Mapping[str, Any]
    rank: int
    world_size: int
    total_steps: int
    resumed: bool
    status: RunStatus


@hookspec
def lightly_register(catalog: Catalog) -> None:
    """Add the plugin's records to the catalog.

    It is called once, at start-up, so this function and its module must not import anything heavy.

    Args:
        catalog: Accepts records with import strings. Their targets are imported on first use.
    """


@hookspec
def lightly_run_start(run: RunInfo) -> None:
    """Run before the first step of a run, on every process.

    An exception is reported and does not stop the run.

    Args:
        run: Facts about the run. `RunInfo.status` is ``running``.
    """


@hookspec
def lightly_run_end(run: RunInfo) -> None:
    """Run after the last step of a run, also if it failed or was interrupted.

    Args:
        run: The facts passed to `lightly_run_start`, with the status in which the run ended.
    """


#: Names of all hooks.
HOOKS = ("lightly_register", "lightly_run_start", "lightly_run_end")
