"""`lightly extract-frames`: writes frames of videos as images."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
  lightly extract-frames videos/ out=frames
  lightly extract-frames a.mp4 b.mov out=frames fps=0.5 size=512 min_difference=6

The folder that it writes is `data` of the other commands. docs/videos.md describes it.
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Write frames, or print the help. Return the exit code."""
    from lightly_core.config.options.extract import ExtractConfig
    from lightly_core.config.options.fields import aliases, settings_fields

    known = {
        name for field in settings_fields(ExtractConfig) for name in (field.name, *aliases(field))
    }
    places = [word for word in arguments if _is_place(word, known)]
    # The value of --config is no video.
    after = {arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word == "--config"}
    places = [place for place in places if place not in after]
    words = [word for word in arguments if word not in places]

    def start(config_file: str | None, pairs: Sequence[str]) -> None:
        from lightly_core.extracting.command import extract_with

        given = {"videos": places} if places else None
        extract_with(config_file=config_file, pairs=pairs, arguments=given)

    return run_settings_command(
        make_parser(), words, options, config_cls=ExtractConfig, start=start
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    return settings_parser(
        "extract-frames",
        description="Write frames of videos as images, a folder for each video. VIDEO is a folder, "
        "a file, a glob or a text\nfile of paths, and the same as the setting videos. The settings "
        "videos and out are required.",
        epilog=_EPILOG,
        flags="[VIDEO ...]",
    )


def _is_place(word: str, known: set[str]) -> bool:
    """Return whether a word is a video, not an option or a setting."""
    key, equals, _ = word.partition("=")
    if word.startswith("-"):
        return False
    return not equals or (key.partition(".")[0] not in known and os.path.exists(word))
