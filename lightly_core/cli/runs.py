"""`lightly runs`: lists the runs below a folder."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime

from lightly_core.cli.parser import Parser, command_parser, option_names
from lightly_core.cli.settings_words import check_words
from lightly_core.cli.table import print_json
from lightly_core.errors import ConfigError
from lightly_core.terminal import terminal_width

_EPILOG = """\
The state is running, finished, interrupted, failed, waiting (a row of a suite that has not
started) or unknown: the process died, or the folder is old, foreign or damaged. EPOCHS are those
done and planned. KNN is the accuracy of the frozen features after training, with its standard
error. AGE is the time since the run was started. docs/runs.md describes the keys of --json.

  lightly runs out
  lightly runs out sort=knn
  lightly runs out state=failed method=simclr --json
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the runs, or print the help. Return the exit code."""
    parser = make_parser()
    wants_help = [word for word in arguments if word in ("-h", "--help")]
    parsed, words = parser.parse_known_args([w for w in arguments if w not in wants_help])
    from lightly_core.config.options.runs import RunsConfig

    if wants_help:
        from lightly_core.config.docs.tables import class_help

        print(parser.format_help().rstrip())
        print(f"\nsettings:\n{class_help(RunsConfig).rstrip()}")
        return 0
    folder, pairs = _split(words, parser)
    from lightly_core.registry.listing import listed_runs

    if parsed.reverse:
        pairs = [*pairs, "reverse=true"]
    runs = listed_runs(folder, pairs=pairs)
    if parsed.json:
        print_json([run.as_dict() for run in runs])
        return 0
    if not runs:
        chosen = " of this state or method" if _chooses(pairs) else ""
        print(f"no run{chosen} below '{folder}'", file=sys.stderr)
        return 0
    from lightly_core.registry.table import table_lines

    for line in table_lines(runs, datetime.now().astimezone(), terminal_width()):
        print(line)
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "runs",
        usage="[DIR] [sort=COLUMN] [--reverse] [state=STATE] [method=NAME] [--json]",
        description="List the runs below a folder, by default the current one, as a table.",
        epilog=_EPILOG,
    )
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _split(words: Sequence[str], parser: Parser) -> tuple[str, list[str]]:
    """Return the folder and the settings."""
    from lightly_core.config.options.runs import RunsConfig

    folders: list[str] = []
    pairs: list[str] = []
    after_option = False  # then a word is the option's value, which the message includes
    for word in words:
        is_folder = "=" not in word and not word.startswith("-") and not after_option
        (folders if is_folder else pairs).append(word)
        after_option = word.startswith("-") and "=" not in word
    check_words(pairs, option_names(parser), RunsConfig)
    if len(folders) > 1:
        raise ConfigError(
            f"expected one folder, got {len(folders)}: {', '.join(folders)}\n  give the folder "
            "above them; runs are found at any depth"
        )
    return folders[0] if folders else ".", pairs


def _chooses(pairs: Sequence[str]) -> bool:
    return any(pair.startswith(("state=", "method=")) for pair in pairs)
