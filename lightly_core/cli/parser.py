"""Parsers of all commands: their common options, and the errors for wrong usage."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from lightly_core.errors import ConfigError, did_you_mean
from lightly_core.terminal import fit, fold, prose_width

#: Widest column of the options in a help text.
_OPTIONS = 24


class TerminalHelp(argparse.HelpFormatter):
    """Formats help texts so that they fit the terminal, and cuts no word.

    Args:
        prog: Name of the program.
    """

    def __init__(self, prog: str) -> None:
        width = prose_width()
        super().__init__(prog, max_help_position=min(_OPTIONS, width // 3), width=width)

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        if usage is None:
            return super()._format_usage(usage, actions, groups, prefix)
        return "\n".join([*fold(f"usage: {usage}", self._width, rest="    "), "", ""])

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(f"{indent}{line}" for line in fit(text, width - len(indent)))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return fold(text, width)


class Parser(argparse.ArgumentParser):
    """An argument parser that keeps examples, accepts no abbreviations and raises ConfigError.

    The arguments are those of `argparse.ArgumentParser`.
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
            formatter_class=TerminalHelp,
        )

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError for wrong usage."""
        raise ConfigError(f"{message}\n  see `{self.prog} --help`")


def global_options() -> argparse.ArgumentParser:
    """Return the options that may be given before or after the command."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("options of all commands")
    group.add_argument("--traceback", action="store_true", help="show where an error happened")
    group.add_argument(
        "--no-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="do not load a plugin (its name or distribution); may be repeated",
    )
    group.add_argument("--strict-plugins", action="store_true", help="stop if any plugin is broken")
    group.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    return parser


def command_parser(
    name: str,
    *,
    usage: str,
    description: str,
    epilog: str | None = None,
) -> Parser:
    """Return the parser of one command. Its help includes the options of all commands.

    Args:
        name: Name of the command.
        usage: Text after the name in the usage line.
        description: Description of the command.
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
        The options; None: the help was requested and has been printed.

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


def print_help(parser: Parser, *sections: str) -> None:
    """Print the help of a command, and further sections with an empty line above each."""
    print("\n\n".join([parser.format_help().rstrip(), *(text.rstrip() for text in sections)]))


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return all flags that a parser accepts, such as ``--json``."""
    return [flag for action in parser._actions for flag in action.option_strings]


def near(word: str, known: Sequence[str]) -> str:
    """Return ``, did you mean ...?`` if a known word is similar, else an empty string."""
    hint = did_you_mean(word, known)
    return f", {hint}" if hint else ""


def use_plugins(options: argparse.Namespace) -> None:
    """Configure the discovery of plugins with the options."""
    from lightly_core.plugins.discovery import configure

    configure(block=options.no_plugin, strict=options.strict_plugins)
