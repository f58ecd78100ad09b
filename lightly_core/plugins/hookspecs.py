"""The hooks that a plugin may implement, and the marker it puts on them."""

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
#: A new hook, hook argument or optional protocol does not raise it; taking one away does.
OLDEST_API, NEWEST_API = 2, 2

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


RunStatus = Literal["running", "finished", "interrupted", "failed"]


@frozen(kw_only=True)
class RunInfo:
    """What a plugin is told of a run.

    Attributes:
        out: The run folder.
        model: As the user named it; the class of a module that was passed.
        method: Name of the method.
        config: All settings without "auto" and without secrets, nested plain data; "derived" holds
            the numbers that follow from them. As in `config.json`.
        rank: Number of this process, in [0, world_size).
        world_size: Number of processes.
        total_steps: Optimizer steps of the run.
        resumed: Whether an interrupted run goes on.
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

    Called once, at start-up, so neither this function nor its module may import anything heavy.

    Args:
        catalog: Takes records of import strings; whatever they point to is imported on first use.
    """


@hookspec
def lightly_run_start(run: RunInfo) -> None:
    """Look at a run before its first step, on every process.

    An exception is reported and does not stop the run.

    Args:
        run: What is about to start; `RunInfo.status` is ``running``.
    """


@hookspec
def lightly_run_end(run: RunInfo) -> None:
    """Look at a run after its last step, also when it failed or was interrupted.

    Args:
        run: As `lightly_run_start` got it, with the status in which the run ended.
    """


#: Names of all hooks.
HOOKS = ("lightly_register", "lightly_run_start", "lightly_run_end")
