"""`lightly benchmark`: run a suite of methods and compare them in one table."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, option_names, use_plugins
from lightly_core.cli.settings_words import check_words
from lightly_core.cli.table import print_table
from lightly_core.errors import ConfigError
from lightly_core.terminal import fold, prose_width

if TYPE_CHECKING:
    from lightly_core.benchmarking.planning import Plan
    from lightly_core.benchmarking.suite import Row

_EPILOG = """\
Each row runs in its own process: it pretrains, then evaluates. The same command continues an
interrupted suite: finished rows are kept, and failed rows are run again. Settings on the command
line override the file. run.KEY and evaluate.KEY override the settings of single rows too.

  lightly benchmark examples/benchmarks/smoke.toml
  lightly benchmark suite.toml only=simclr,dino run.epochs=2 data.train=images out=out/try
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Run a suite, or print the help.

    Returns:
        The exit code: 1 if a chosen row failed, else 0.
    """
    parser = make_parser()
    wants_help = [word for word in arguments if word in ("-h", "--help")]
    parsed, words = parser.parse_known_args([w for w in arguments if w not in wants_help])
    use_plugins(options)
    if wants_help:
        _print_help(parser, words)
        return 0
    suite, pairs = _split(words, parser)
    if parsed.dry_run:
        _show(suite, pairs)
        return 0
    from lightly_core.api import benchmark_from_command_line

    results = benchmark_from_command_line(
        suite, pairs, command=shlex.join(["lightly", "benchmark", *arguments])
    )
    return 1 if any(result.chosen and result.state == "failed" for result in results) else 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "benchmark",
        usage="SUITE.toml [--dry-run] KEY=VALUE ...",
        description="Pretrain and evaluate the rows of a suite, and write a table and a plot.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check all rows, print the length of each, and stop",
    )
    return parser


def _split(words: Sequence[str], parser: Parser) -> tuple[str, list[str]]:
    """Return the suite's file and the other words."""
    from lightly_core.config.options.suite import SuiteConfig

    files = [word for word in words if "=" not in word and not word.startswith("-")]
    pairs = [word for word in words if word not in files[:1]]
    check_words(pairs, option_names(parser), SuiteConfig)
    if not files:
        raise ConfigError(
            "expected the file of a suite\n  for example: lightly benchmark SUITE.toml"
        )
    return files[0], pairs


def _print_help(parser: Parser, words: Sequence[str]) -> None:
    from lightly_core.config.docs.tables import class_help
    from lightly_core.config.options.suite import RowConfig, SuiteConfig

    print(parser.format_help().rstrip())
    print(f"\nsettings of a suite:\n{class_help(SuiteConfig).rstrip()}")
    title = fold("keys of a row, in addition to those of `lightly run`:", prose_width())
    print("", *title, class_help(RowConfig).rstrip(), sep="\n")
    _print_launcher_help(words)


def _print_launcher_help(words: Sequence[str]) -> None:
    """Print the options of the launcher that the words name, or of the default."""
    from lightly_core.config.docs.tables import class_help
    from lightly_core.config.options.suite import DEFAULT_LAUNCHER
    from lightly_core.plugins.discovery import get_plugins
    from lightly_core.plugins.loading import load_config

    named = [word.partition("=")[2] for word in words if word.startswith("launcher=")]
    name = named[-1] if named else DEFAULT_LAUNCHER
    record = get_plugins().catalog.get("launcher", name)
    print(f"\noptions of the launcher '{record.name}':")
    print(class_help(load_config(record), "launcher_args").rstrip())


def _show(suite: str, pairs: Sequence[str]) -> None:
    from lightly_core.benchmarking.command import has_finished, plan_suite

    read, plans = plan_suite(suite, pairs=pairs)
    rows = [row for row in read.rows if row.name in read.chosen]
    print_table(
        ("ROW", "METHOD", "BACKBONE", "IMAGES", "BATCH", "EPOCHS", "STEPS", "DEVICE", "STATE"),
        [
            (
                row.name,
                row.method,
                row.model,
                str(plan.num_images),
                str(plan.batch_size),
                str(plan.epochs),
                str(plan.steps),
                f"{plan.accelerator}, {plan.precision}",
                "finished" if has_finished(read, row.name) else "to do",
            )
            for row, plan in zip(rows, plans, strict=True)
        ],
    )
    for row, plan in zip(rows, plans, strict=True):
        _show_sweep(row, plan)
    for text in (*read.notes, *(plan.note for plan in plans if plan.note)):
        print(f"note: {text}")


def _show_sweep(row: Row, plan: Plan) -> None:
    """Print the space of a sweep, its trials and their cost."""
    if row.sweep is None:
        return
    most = row.sweep.num_trials * plan.images
    print(f"\nsweep {row.name}: {row.sweep}")
    print(f"  trains on at most {row.sweep.num_trials} x {plan.images:,} = {most:,} images")
    for parameter in row.sweep.space.parameters:
        print(f"  {parameter}")
