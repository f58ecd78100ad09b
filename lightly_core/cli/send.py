"""`lightly send`: sends what runs could not send to the servers of their loggers."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightly_core.cli.parser import Parser, command_parser, near, option_names, use_plugins
from lightly_core.errors import ConfigError

_EPILOG = """\
A run whose server was away keeps what it could not send in OUT/unsent.NAME.jsonl. Sending twice
changes nothing. Options of a logger replace those of the run.

  lightly send out/mine
  lightly send out/* loggers.mlflow.tracking_uri=http://127.0.0.1:5000

Exit code: 0 if everything is sent, 1 if something is not.
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Send. Return the exit code."""
    parser = make_parser()
    if "-h" in arguments or "--help" in arguments:
        print(parser.format_help().rstrip())
        return 0
    words = parser.parse_known_args(list(arguments))[1]
    folders = [Path(word) for word in words if "=" not in word or Path(word).is_dir()]
    pairs = [word for word in words if Path(word) not in folders]
    _refuse(words, folders, option_names(parser))
    changes = _logger_options(pairs)
    use_plugins(options)
    return _send(folders, changes)


def make_parser() -> Parser:
    """Return the parser of the command."""
    return command_parser(
        "send",
        usage="OUT ... [loggers.NAME.KEY=VALUE ...]",
        description="Send what runs could not send to the servers of their loggers.",
        epilog=_EPILOG,
    )


def _refuse(words: Sequence[str], folders: Sequence[Path], flags: Sequence[str]) -> None:
    for word in words:
        if word.startswith("-"):
            raise ConfigError(
                f"unknown option '{word}'{near(word, flags)}\n  see `lightly send --help`"
            )
    if not folders:
        raise ConfigError("expected the folder of a run\n  write `lightly send OUT`")
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"'{folder}' is not a folder; give the setting `out` of a run")


def _logger_options(pairs: Sequence[str]) -> dict[str, Any]:
    from lightly_core.config.reading.keyvalue import parse_pairs

    given = parse_pairs(pairs)
    for key in given:
        if key != "loggers":
            raise ConfigError(
                f"unknown setting '{key}'{near(key, ['loggers'])}: only options of loggers can be "
                "given, such as loggers.mlflow.tracking_uri=http://127.0.0.1:5000"
            )
    loggers = given.get("loggers") or {}
    if not isinstance(loggers, dict) or not all(isinstance(v, dict) for v in loggers.values()):
        raise ConfigError("expected loggers.NAME.KEY=VALUE")
    return loggers


def _send(folders: Sequence[Path], changes: dict[str, Any]) -> int:
    from lightly_core.engine.remote.later import send_unsent
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    all_sent = True
    for folder in folders:
        results = list(send_unsent(folder.absolute(), catalog, changes))
        if not results:
            print(f"{folder}: nothing to send")
        for result in results:
            line = f"{folder}: {result.num_sent} records sent to {result.logger}"
            if result.address:
                line += f" ({result.address})"
            print(line)
            if result.num_unsent:
                all_sent = False
                reason = f": {result.failure}" if result.failure else ""
                print(f"{folder}: {result.num_unsent} not sent{reason}", file=sys.stderr)
    return 0 if all_sent else 1
