"""Entry point of the command `lightly`: runs a command and returns the exit code of its errors."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser, global_options, near
from lightly_core.errors import (
    ConfigError,
    DataError,
    LightlyError,
    PluginError,
    RunInterrupted,
)
from lightly_core.streams import open_missing_streams
from lightly_core.terminal import definitions, fold, prose_width

EXIT_FAILED = 1
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

#: Module and one line of help by command, in the order of the help.
COMMANDS = {
    "run": "pretrain a backbone on your images",
    "embed": "write the features of images to a file",
    "evaluate": "measure a network on labelled images",
    "extract-frames": "write frames of videos as images",
    "report": "write a page about one run, or several side by side",
    "export": "write a network in the format of another tool",
    "benchmark": "run a suite of methods and compare them in one table",
    "runs": "list the runs below a folder",
    "send": "send what the loggers of a run could not send",
    "methods": "list pretraining methods",
    "models": "list models",
    "formats": "list formats of `lightly export`",
    "advise": "say which method, size, batch and epochs to take for your images",
    "doctor": "check the installation and the machine, and measure how images are read",
    "plugins": "list installed plugins and their states",
    "plugin": "write a plugin of your own, and check it",
    "completion": "complete commands, settings and names with Tab in bash, zsh and fish",
}

#: Other names of commands: the command, and whether the name is deprecated.
ALIASES = {
    "pretrain": ("run", False),
    "train": ("run", True),
    "list_methods": ("methods", False),
    "list_models": ("models", False),
    "list_plugins": ("plugins", False),
    "extract_frames": ("extract-frames", False),
    "extract_video_frames": ("extract-frames", False),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None: the arguments of this process.

    Returns:
        0: success. 1: a run failed, or an unexpected error. 2: wrong usage, setting, plugin or
        data. 130: interrupted.
    """
    open_missing_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run_command(arguments)
    except (KeyboardInterrupt, RunInterrupted) as error:
        _show_traceback(arguments)
        _say(str(error) or "interrupted")
        return EXIT_INTERRUPTED
    except LightlyError as error:
        _show_traceback(arguments)
        _say(f"error: {error}")
        mistake = isinstance(error, (ConfigError, PluginError, DataError))
        return EXIT_MISTAKE if mistake else EXIT_FAILED
    except Exception as error:
        _show_traceback(arguments)
        _say_unexpected(error, "--traceback" in arguments)
        return EXIT_FAILED


def _run_command(arguments: list[str]) -> int:
    if arguments[:2] == ["completion", "next"]:  # the words after it are not for this command
        from lightly_core.cli.completion import print_candidates

        return print_candidates(arguments[2:])
    options, rest = _parse_globals(arguments)
    if options.version:
        from lightly_core.version import __version__

        print(f"lightly-core {__version__}")
        return 0
    if not rest or rest[0] in ("-h", "--help"):
        print(_help())
        return 0
    name, deprecated = ALIASES.get(rest[0], (rest[0], False))
    if name not in COMMANDS:
        raise ConfigError(_unknown_command(name))
    if deprecated:
        _say(f"warning: `lightly {rest[0]}` is deprecated, use `lightly {name}`")
    module = importlib.import_module(f"lightly_core.cli.{name.replace('-', '_')}")
    code: int = EXIT_FAILED
    try:
        code = module.main(rest[1:], options)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise  # another pipe, such as that of a worker
        # The reader, such as `head`, has closed the pipe. Python would report that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _reader_is_gone() -> bool:
    """Return whether the output of this program has no reader any more."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
    except (AttributeError, OSError):  # Windows, or an output that is not a file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _parse_globals(arguments: list[str]) -> tuple[Namespace, list[str]]:
    """Parse the options that are valid in any position, and return the other arguments."""
    parser = Parser(prog="lightly", add_help=False, parents=[global_options()])
    return parser.parse_known_args(arguments)


def _help() -> str:
    parser = Parser(
        prog="lightly",
        usage="lightly COMMAND ...",
        description="Self-supervised pretraining and distillation of vision backbones "
        "on your own images.",
        parents=[global_options()],
    )
    width = prose_width()
    lines = [
        parser.format_help().rstrip(),
        "",
        "commands:",
        *definitions(list(COMMANDS.items()), width),
        "",
        *fold("`lightly COMMAND --help` describes a command.", width),
        *fold(
            "`lightly completion install` completes commands, settings and names with Tab.", width
        ),
    ]
    return "\n".join(lines)


def _unknown_command(name: str) -> str:
    if name.startswith("-"):
        return (
            f"unknown option '{name}'{near(name, ['--help', '--version'])}\n  see `lightly --help`"
        )
    if "=" in name:
        return f"expected a command, got the setting '{name}'\n  write `lightly run {name}`"
    current = [alias for alias, (_, deprecated) in ALIASES.items() if not deprecated]
    guess = near(name, [*COMMANDS, *current])
    return f"unknown command '{name}'{guess}\n  commands are: {', '.join(COMMANDS)}"


def _show_traceback(arguments: Sequence[str]) -> None:
    if "--traceback" in arguments:
        import traceback

        traceback.print_exc()


def _say_unexpected(error: Exception, traceback_shown: bool) -> None:
    from lightly_core.failures import blame, explain

    known = explain(error)
    if known is not None:
        _say(f"error: {known}")
        return
    _say(f"error: unexpected {type(error).__name__}: {error}")
    _say(f"  {blame(error, _plugin_packages())}")
    if not traceback_shown:
        _say("  add --traceback to see where it was raised")


def _plugin_packages() -> frozenset[str]:
    from lightly_core.plugins.discovery import get_plugins

    try:
        return frozenset(get_plugins().catalog.packages())
    except LightlyError:
        return frozenset()


def _say(message: str) -> None:
    from lightly_core.data.names import harmless  # imported late: most commands print no message

    print(harmless(message), file=sys.stderr)
