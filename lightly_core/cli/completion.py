"""`lightly completion`: completes commands, settings and names with Tab."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.completion_scripts import SCRIPTS
from lightly_core.cli.parser import Parser, command_parser, near, parse_command
from lightly_core.errors import ConfigError

_EPILOG = """\
Without SHELL the shell is that of the environment variable SHELL. Installing again changes nothing.

  lightly completion install
  lightly completion install zsh
  lightly completion bash > lightly.bash
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Print the script of a shell, or install it. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    if parsed.action == "install":
        _install(parsed.shell or _current_shell())
        return 0
    if parsed.shell is not None:
        raise ConfigError(f"unknown argument '{parsed.shell}'\n  see `lightly completion --help`")
    _require_known(parsed.action, [*SCRIPTS, "install"])
    print(SCRIPTS[parsed.action], end="")
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "completion",
        usage="bash | zsh | fish | install [SHELL]",
        description="Complete commands, settings and names with Tab: print the script of a shell, "
        "or install it.",
        epilog=_EPILOG,
    )
    parser.add_argument("action", metavar="ACTION", help="bash, zsh or fish; or install")
    parser.add_argument("shell", nargs="?", metavar="SHELL", help="bash, zsh or fish")
    return parser


def print_candidates(arguments: Sequence[str]) -> int:
    """Print what may follow on a command line, for the scripts of the shells.

    Args:
        arguments: Name of the shell. For bash then its characters that end a word, and the line up
            to the cursor; for the others the words after the program, the last one up to the
            cursor.

    Returns:
        The exit code.
    """
    from lightly_core.cli.candidates import find_candidates
    from lightly_core.cli.completion_lines import read_line, shell_lines

    shell, *words = arguments
    if shell == "bash":
        line = read_line(words[1], words[0])
        found = find_candidates(line.words[1:], line.current)
        lines = line.replies(found)
    else:
        lines = shell_lines(find_candidates(words[:-1], words[-1]), shell)
    sys.stdout.write("".join(f"{text}\n" for text in lines))
    return 0


def _current_shell() -> str:
    name = os.path.basename(os.environ.get("SHELL", ""))
    if not name:
        raise ConfigError("the shell is not known\n  write `lightly completion install SHELL`")
    return name


def _require_known(word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise ConfigError(
            f"expected one of {', '.join(known)}, got '{word}'{near(word, known)}"
            "\n  see `lightly completion --help`"
        )


def _install(shell: str) -> None:
    from lightly_core.cli.completion_install import install_script

    _require_known(shell, list(SCRIPTS))
    for line in install_script(shell):
        print(line)
