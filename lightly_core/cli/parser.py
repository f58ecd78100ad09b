"""What the commands share: options valid everywhere, and how wrong usage is answered."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from lightly_core.errors import ConfigError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser that keeps line breaks, takes no abbreviations, and raises ConfigError.

    Args:
        settings: As `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        *,
        prog: str,
        usage: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        parents: Sequence[argparse.ArgumentParser] = (),
        add_help: bool = True,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            parents=list(parents),
            add_help=add_help,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Answer wrong usage as every other mistake is answered."""
        raise ConfigError(f"{message}\n  see `{self.prog} --help`")


def global_options() -> argparse.ArgumentParser:
    """Return the options that may stand before or behind the command."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("options of all commands")
    group.add_argument("--traceback", action="store_true", help="show where an error happened")
    group.add_argument(
        "--no-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out a plugin (its name or distribution); may be repeated",
    )
    group.add_argument("--strict-plugins", action="store_true", help="stop if any plugin is broken")
    group.add_argument("--version", action="store_true", help="print the version and exit")
    return parser


def command_parser(
    name: str,
    *,
    usage: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
    """Return the parser of one command; its help shows the options of all commands too.

    Args:
        name: Name of the command.
        usage: What follows the name in the usage line.
        description: What the command does.
        epilog: Text below the options.
    """
    return Parser(
        prog=f"lightly {name}",
        usage=f"lightly {name} {usage}".rstrip(),
        description=description,
        epilog=epilog,
        parents=[global_options()],
    )


def parse_command(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace | None:
    """Parse the arguments of a command that takes no settings.

    Returns:
        The options; None if only help was asked for, which has been printed then.

    Raises:
        ConfigError: An option is unknown or lacks its value.
    """
    if "-h" in arguments or "--help" in arguments:
        print(parser.format_help().rstrip())
        return None
    options, rest = parser.parse_known_args(arguments)
    if rest:
        what = "option" if rest[0].startswith("-") else "argument"
        guess = near(rest[0], option_names(parser))
        raise ConfigError(f"unknown {what} '{rest[0]}'{guess}\n  see `{parser.prog} --help`")
    return options


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return all flags that a parser takes, as typed."""
    return [flag for action in parser._actions for flag in action.option_strings]


def near(word: str, known: Sequence[str]) -> str:
    """Return ``, did you mean ...?`` where one of the known words is close; else nothing."""
    hint = did_you_mean(word, known)
    return f", {hint}" if hint else ""


def use_plugins(options: argparse.Namespace) -> None:
    """Hand the plugin options to the discovery."""
    from lightly_core.plugins.discovery import configure

    configure(block=options.no_plugin, strict=options.strict_plugins)
