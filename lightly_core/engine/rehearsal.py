"""Dry run with the networks: make all checks of a run, and write nothing."""

from __future__ import annotations

import logging

from lightly_core.config.auto.resolve import Resolved
from lightly_core.data.base import ImageSource
from lightly_core.engine import build
from lightly_core.engine.folder import RunFolder
from lightly_core.engine.loggers.checking import require_loggers
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.logs import only_warnings
from lightly_core.engine.mistakes import Mistakes
from lightly_core.engine.plan.size import RunSize, size_of_run
from lightly_core.engine.trainer import build_trainer, early_stopping
from lightly_core.engine.watching import choose_images
from lightly_core.errors import LightlyError
from lightly_core.models.without_numbers import is_for_want_of_numbers, without_numbers
from lightly_core.plugins.catalog import Catalog

logger = logging.getLogger(__name__)


def rehearse(
    resolved: Resolved,
    source: ImageSource,
    val_source: ImageSource | None,
    folder: RunFolder,
    catalog: Catalog,
) -> RunSize | None:
    """Build the parts of a run to find mistakes in the settings.

    Networks are built on the meta device without downloads, and one image is read. Mistakes that
    show only with values, such as weights that must be downloaded first, are found in the run.

    Args:
        resolved: Settings without "auto".
        source: The images.
        val_source: Those of `val_data`.
        folder: Paths of the run folder, which is not created.
        catalog: What the plugins provide.

    Returns:
        Parameters and memory; None: they are not known without values.

    Raises:
        ConfigError: Something is wrong; the message names all problems.
        DataError: The images cannot be used.
        PluginError: A plugin that is needed cannot be used.
    """
    mistakes = Mistakes()
    stopping = early_stopping(resolved.callbacks.early_stopping)
    with only_warnings():
        mistakes.attempt(lambda: build_trainer(resolved, folder, Fanout({}), stopping))
        mistakes.attempt(lambda: choose_images(resolved, source, val_source))
        mistakes.attempt(lambda: build.check_first_image(resolved, source))
        size = mistakes.attempt(lambda: _build_networks(resolved, source, catalog))
        mistakes.attempt(lambda: require_loggers(resolved))
    mistakes.raise_all()
    return size


def _build_networks(resolved: Resolved, source: ImageSource, catalog: Catalog) -> RunSize | None:
    try:
        with without_numbers():
            built = build.build_run(resolved, source, catalog)
            return size_of_run(built.wrapper, built.method, resolved)
    except LightlyError as error:
        if not is_for_want_of_numbers(error):
            raise
        logger.debug("The rehearsal of the networks ends here.", exc_info=True)
    except Exception:
        # Anything may need values: the run repeats it with them before anything is written.
        logger.debug("The rehearsal of the networks ends here.", exc_info=True)
    return None
