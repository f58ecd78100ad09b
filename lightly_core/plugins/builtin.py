"""Records of the loggers that lightly-core itself provides."""

from __future__ import annotations

from lightly_core.plugins.catalog import CORE, Catalog
from lightly_core.plugins.records import LoggerRecord
from lightly_core.version import __version__


def register_builtin(catalog: Catalog) -> None:
    """Add the loggers that need no plugin."""
    with catalog.registering(
        plugin="core", distribution=CORE, version=__version__, root="lightly_core"
    ):
        catalog.add(
            LoggerRecord(
                name="jsonl",
                target="lightly_core.engine.loggers.jsonl:JsonlLogger",
                config="lightly_core.config.options.settings:JsonlArgs",
                summary="metrics.jsonl, one JSON object per line; always on.",
            )
        )
        catalog.add(
            LoggerRecord(
                name="tensorboard",
                target="lightly_core.engine.loggers.tensorboard:TensorBoardLogger",
                config="lightly_core.config.options.settings:TensorBoardArgs",
                summary="TensorBoard event files; on unless switched off.",
                requires=("tensorboard>=2.14",),
            )
        )
