"""`lightly report`: writes a page about one or several runs."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser, command_parser, near
from lightly_core.errors import ConfigError

_EPILOG = """\
settings:
  out=FILE    the HTML file; default: report.html in the run folder, or for several
              runs in the current folder

  lightly report out/mine
  lightly report out/simclr out/dino out=comparison.html
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Write the report, and print its path. Return the exit code."""
    parser = make_parser()
    if "-h" in arguments or "--help" in arguments:
        print(parser.format_help().rstrip())
        return 0
    folders, out = _words(arguments, parser)
    from lightly_core.api import report

    print(f"written to {report(*folders, out=out).path}")
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    return command_parser(
        "report",
        usage="RUN [RUN ...] [out=FILE]",
        description="Write a page about a run, or about several runs side by side. RUN is the "
        "folder that\nwas `out` of a run. The page is one file and makes no request to a network.",
        epilog=_EPILOG,
    )


def _words(arguments: Sequence[str], parser: Parser) -> tuple[list[str], str | None]:
    """Return the folders and the value of ``out``.

    Raises:
        ConfigError: There is no folder, or a word is neither a folder nor a setting.
    """
    folders: list[str] = []
    out: str | None = None
    for word in arguments:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"unknown option '{word}'\n  see `{parser.prog} --help`")
        if not equals or (key != "out" and os.path.isdir(word)):
            folders.append(word)
        elif key != "out":
            guess = near(key, ["out"])
            raise ConfigError(f"unknown setting '{key}'{guess}\n  see `{parser.prog} --help`")
        elif not value or out is not None:
            what = "is given twice" if out is not None else "has no value"
            raise ConfigError(f"out: it {what}; write out=FILE once")
        else:
            out = value
    if not folders:
        raise ConfigError(
            f"expected at least one run folder, got none\n  see `{parser.prog} --help`"
        )
    return folders, out
