"""The settings that the user of `lightly advise` gave, as those of a run. No torch here."""

from __future__ import annotations

from collections.abc import Iterator

from lightly_core.config.options.advise import AdviseConfig
from lightly_core.diagnosing.settings import default_method
from lightly_core.plugins.catalog import Catalog


def advise_problems(config: AdviseConfig) -> Iterator[str]:
    """Yield the settings that have no effect, as others are missing."""
    if config.model is None and config.model_args is not None:
        yield "config.model_args: it has no effect without a model; give model too"


def given_settings(config: AdviseConfig, catalog: Catalog) -> dict[str, object]:
    """Return the settings of a run that the user gave, with the default method if none.

    Raises:
        PluginError: No method is installed.
    """
    names = ("data", "model", "model_args", "method", "accelerator")
    given = {name: getattr(config, name) for name in names}
    given = {name: value for name, value in given.items() if value not in (None, "auto")}
    given.setdefault("method", default_method(catalog))
    return given
