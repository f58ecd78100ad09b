"""`lightly plugin new`: writes the package of a new plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightly_core.cli.parser import Parser, command_parser, parse_command
from lightly_core.errors import ConfigError
from lightly_core.scaffold.new import KINDS, new_plugin

_EPILOG = """\
The package passes `lightly plugin check` as it is. Change it step by step.

  lightly plugin new my-method --kind method
  cd lightly-my-method && pip install -e ".[test]" && pytest
"""


def main(arguments: Sequence[str]) -> int:
    """Write the package and list its files. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    if parsed.kind is None:
        raise ConfigError(f"--kind is missing; it is one of {', '.join(KINDS)}")
    folder, written = new_plugin(parsed.name, parsed.kind, parsed.out)
    for path in written:
        print(folder / path)
    print(f'next: pip install -e "{folder}[test]" && pytest {folder}')
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    kinds = ", ".join(KINDS)
    parser = command_parser(
        "plugin new",
        usage="NAME --kind KIND [--out FOLDER]",
        description="Write a package with a plugin of your own, its tests and a workflow.",
        epilog=_EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="such as my-method")
    parser.add_argument("--kind", metavar="KIND", help=f"what it provides: {kinds}")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder to write; default: lightly-NAME"
    )
    return parser
