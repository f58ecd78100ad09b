"""`lightly embed`: writes the features of images to a file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
  lightly embed model=out/my_run data=images out=features.csv
  lightly embed model=torchvision/resnet18 data=images out=features.parquet
  lightly embed model=out/my_run data=images out=features shard_size=100000 devices=auto
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Embed, or print the help. Return the exit code."""
    from lightly_core.config.options.embed import EmbedConfig

    return run_settings_command(
        make_parser(), arguments, options, config_cls=EmbedConfig, start=_start
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    return settings_parser(
        "embed",
        description="Write the features of images to a .csv, .pt, .npz or .parquet file, or with "
        "shard_size to a folder of Parquet files. "
        "The settings model, data and out are required.",
        epilog=_EPILOG,
    )


def _start(config_file: str | None, pairs: Sequence[str]) -> None:
    from lightly_core.embedding.command import embed_with

    embed_with(config_file=config_file, pairs=pairs)
