"""Checks of loggers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lightly_core.contracts import ExportedModel, Logger
from lightly_core.engine.remote import Destination, Metrics, RemoteLogger
from lightly_core.testing.checks import Check
from lightly_core.testing.models import TinyConv

_Factory = Callable[[Path], Logger]


def logger_checks(
    factory: _Factory, resumed: Callable[[Path, int], Logger] | None = None
) -> list[Check]:
    """Return the checks that a logger accepts all calls of a run.

    They run in a single process, since a run builds loggers in its first process only.

    Args:
        factory: Returns a new logger that writes below the given empty folder.
        resumed: Returns a logger for a run that continues in the folder from the given step. None:
            this is not checked.

    Returns:
        One check for each requirement, L1 to L7.
    """
    checks = [
        Check(code, title, partial(_in_new_folder, factory, function))
        for code, (title, function) in _CHECKS.items()
    ]
    if resumed is not None:
        checks.append(
            Check("L7", "continues_an_interrupted_run", partial(_resuming, factory, resumed))
        )
    return checks


def without_server(logger_class: type[RemoteLogger]) -> type[RemoteLogger]:
    """Return a logger class that sends to nowhere, so that it can be checked without a server.

    Args:
        logger_class: A logger with a `Destination`.
    """

    class WithoutServer(logger_class):  # type: ignore[valid-type,misc]
        @classmethod
        def make_destination(cls, config: object, folder: Path) -> Destination:
            """Return a destination that accepts everything."""
            return _Nowhere()

    return WithoutServer


class _Nowhere(Destination):
    def open(self, identity: Mapping[str, str]) -> Mapping[str, str]:
        return {}

    def send_metrics(self, rows: Sequence[Metrics]) -> None:
        pass


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


def _file(logger: Logger) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "report with [brackets].html"
        path.write_text("<p>report</p>", encoding="utf-8")
        logger.log_artifact(path)
        logger.finish("finished")


def _backbone(logger: Logger) -> None:
    metadata = {"mean": "0 0 0", "method": "simclr"}
    logger.log_model(ExportedModel(TinyConv(), metadata, num_channels=3, image_size=(32, 32)))


def _resuming(factory: _Factory, resumed: Callable[[Path, int], Logger]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for logger, steps in (
            (factory(Path(folder)), (0, 10, 20)),
            (resumed(Path(folder), 10), (20, 30)),
        ):
            logger.log_config({"epochs": 3, "resume_interrupted": steps[0] > 0})
            for step in steps:
                logger.log_metrics({"train_loss": 1.0}, step)
            logger.finish("interrupted" if steps[0] == 0 else "finished")


def _closing_twice(logger: Logger) -> None:
    logger.log_metrics({"train_loss": 1.0}, 0)
    logger.finish("interrupted")
    logger.finish("interrupted")


_CHECKS: dict[str, tuple[str, Callable[[Logger], None]]] = {
    "L1": ("takes_scalars_at_rising_steps", _scalars),
    "L2": ("takes_a_nested_configuration", _configuration),
    "L3": ("takes_an_image", _image),
    "L4": ("closes_twice", _closing_twice),
    "L5": ("takes_a_file", _file),
    "L6": ("takes_the_exported_backbone", _backbone),
}
