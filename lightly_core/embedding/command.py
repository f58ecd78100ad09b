"""Starts `lightly embed` from settings of the command line, of a file or of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.embedding.checks import embed_problems
from lightly_core.plugins.discovery import get_plugins

if TYPE_CHECKING:
    from lightly_core.embedding.result import EmbedResult


def embed_with(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> EmbedResult:
    """Check the settings completely, then embed; see `lightly_core.embed`.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
    """
    plugins = get_plugins()
    with loaded_options(
        EmbedConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(embed_problems,),
    ) as config:
        from lightly_core.embedding.run import embed_images
        from lightly_core.failures import explained

        with explained():
            return embed_images(config, plugins)
