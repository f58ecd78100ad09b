"""Checks of loggers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from lightly_core.contracts import Logger
from lightly_core.testing.checks import Check

_Factory = Callable[[Path], Logger]


def logger_checks(factory: _Factory) -> list[Check]:
    """Return the checks that a logger accepts all calls of a run.

    They run in a single process, since a run builds loggers in its first process only.

    Args:
        factory: Returns a new logger that writes below the given empty folder.

    Returns:
        One check for each requirement, L1 to L4.
    """
    return [
        Check(code, title, partial(_in_new_folder, factory, function))
        for code, (title, function) in _CHECKS.items()
    ]


def _in_new_folder(factory: _Factory, function: Callable[[Logger], None]) -> None:
    # A thread of the logger may still have a file open when the folder is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        logger = factory(Path(folder))
        try:
            function(logger)
        finally:
            logger.finish("finished")


def _scalars(logger: Logger) -> None:
    for step in (0, 1, 1, 50):
        logger.log_metrics({"train_loss": 1 / (1 + step), "train_loss/part": 0.5}, step)
    logger.log_metrics({"lr": 1e-3}, 51)
    logger.log_metrics({"train_loss": float("nan")}, 52)


def _configuration(logger: Logger) -> None:
    logger.log_config(
        {"epochs": 3, "seed": None, "optim_args": {"betas": [0.9, 0.999]}, "transform_args": {}}
    )


def _image(logger: Logger) -> None:
    image = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    logger.log_image("views", image, 0)


def _closing_twice(logger: Logger) -> None:
    logger.log_metrics({"train_loss": 1.0}, 0)
    logger.finish("interrupted")
    logger.finish("interrupted")


_CHECKS: dict[str, tuple[str, Callable[[Logger], None]]] = {
    "L1": ("takes_scalars_at_rising_steps", _scalars),
    "L2": ("takes_a_nested_configuration", _configuration),
    "L3": ("takes_an_image", _image),
    "L4": ("closes_twice", _closing_twice),
}
