"""Finds the images of a run, and resolves its settings with them. No torch here."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lightly_core.config.auto.resolve import Resolved, resolve
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.reading.foreign_args import loader_problems
from lightly_core.config.reading.launch import nodes_problem
from lightly_core.config.reading.load import Settings
from lightly_core.data.base import ImageSource
from lightly_core.data.decode import smallest_useful_side
from lightly_core.data.memory_choice import choose_memory
from lightly_core.data.sources import open_source
from lightly_core.engine.machine import inspect_machine
from lightly_core.errors import ConfigError, DataError

logger = logging.getLogger(__name__)


def open_images(settings: Settings) -> ImageSource:
    """Find the images of `data`.

    Raises:
        DataError: There are no images.
    """
    return _open(settings, settings.run.data)


def open_val_images(settings: Settings) -> ImageSource | None:
    """Find the images of `val_data`; None if it is not set.

    Raises:
        DataError: There are no images.
    """
    if settings.run.val_data is None:
        return None
    try:
        return _open(settings, settings.run.val_data)
    except DataError as error:
        raise DataError(f"config.val_data: {error}") from error


def resolve_run(
    settings: Settings,
    source: ImageSource,
    val_source: ImageSource | None,
    draw_seed: Callable[[], int],
) -> Resolved:
    """Replace every "auto" by a value, from machine and images, and log the warnings.

    Args:
        settings: Checked settings.
        source: The images.
        val_source: Those of `val_data`.
        draw_seed: See `resolve`.

    Raises:
        ConfigError: The settings do not fit the machine or the images.
        DataError: There are fewer images than processes.
        PluginError: The resolved options of the method still contain "auto".
    """
    resolved = resolve(
        settings,
        inspect_machine(),
        len(source),
        val_size=None if val_source is None else len(val_source),
        memory=choose_memory(settings, source),
        draw_seed=draw_seed,
    )
    for warning in resolved.warnings:
        logger.warning("%s", warning)
    return resolved


def refuse_resolved(run: RunConfig) -> None:
    """Refuse settings that are wrong with the values of "auto".

    Raises:
        ConfigError: Names all problems.
    """
    problems = list(loader_problems(run))
    alone = isinstance(run.strategy, str) and not (run.trainer_args or {}).get("plugins")
    if alone and (problem := nodes_problem(run.num_nodes)):
        problems.append(problem)
    if problems:
        raise ConfigError.of(problems)


def _open(settings: Settings, data: str | list[str] | PythonObject) -> ImageSource:
    transform = settings.transform
    return open_source(
        data,
        num_channels=transform.source_channels,
        min_side=smallest_useful_side(transform.view_specs()),
        value_range=transform.value_range,
    )
