"""Starts `lightly extract-frames` from settings of the command line, of a file or of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.docs.pages import signature_of
from lightly_core.config.options.extract import ExtractConfig
from lightly_core.config.reading.child import refuse_in_child
from lightly_core.config.reading.command import loaded_options
from lightly_core.extracting.checks import extract_problems

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lightly_core.config.docs.signature import ExtractSettings
    from lightly_core.extracting.result import ExtractResult


def extract_frames(**settings: Unpack[ExtractSettings]) -> ExtractResult:
    """Write frames of videos as images to a folder, which is `data` for all other functions.

    Every argument is a setting of `docs/settings.md`. `videos` and `out` are required. A call
    continues an earlier one with the same settings, see `docs/videos.md`. It needs PyAV (extra
    ``video``).

    Returns:
        The folder, numbers of frames, and the videos that could not be read.

    Raises:
        ConfigError: Settings are wrong, or the folder has other files; nothing was written.
        DataError: There is no video, or none can be read.
        RunError: Frames cannot be written, or another process writes to the folder.
    """
    refuse_in_child("extract_frames")
    return extract_with(arguments=settings)


def extract_with(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> ExtractResult:
    """Check the settings completely, then write frames; see `extract_frames`.

    Args:
        config_file: A TOML file.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
    """
    with loaded_options(
        ExtractConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(extract_problems,),
    ) as config:
        from lightly_core.extracting.run import extract_videos
        from lightly_core.failures import explained

        with explained():
            return extract_videos(config)


extract_frames.__signature__ = signature_of(ExtractConfig)  # type: ignore[attr-defined]
