"""`lightly advise`: says what to run on some images, and on which measurements this rests."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
  lightly advise data=images
  lightly advise data=images hours=8 model=timm/resnet50
  lightly advise data=images method=dino --json
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Print the advice, or the help. Return the exit code."""
    from lightly_core.config.options.advise import AdviseConfig

    start = partial(_start, as_json="--json" in arguments)
    return run_settings_command(
        make_parser(), arguments, options, config_cls=AdviseConfig, start=start
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = settings_parser(
        "advise",
        description="Say which method, size, batch and number of epochs to take for your images "
        "and this machine, from measured short runs. Some training steps are measured. The "
        "setting data is required.",
        epilog=_EPILOG,
        flags="[--json]",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _start(config_file: str | None, pairs: Sequence[str], *, as_json: bool) -> None:
    from lightly_core.advising.command import print_advice

    print_advice(config_file, pairs, as_json=as_json)
