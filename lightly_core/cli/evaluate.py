"""`lightly evaluate`: measures the features of a network on labelled images."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
Protocols are switched on with true and off with false. Their settings have dots: knn.k=20.

  lightly evaluate model=out/run data=images/train val_data=images/val out=results.json
  lightly evaluate model=timm/resnet50 data=images linear=false finetune=true
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Evaluate, or print the help. Return the exit code."""
    from lightly_core.api import evaluate_from_command_line
    from lightly_core.config.options.evaluate import EvaluateConfig

    return run_settings_command(
        make_parser(),
        arguments,
        options,
        config_cls=EvaluateConfig,
        start=evaluate_from_command_line,
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    return settings_parser(
        "evaluate",
        description="Measure a finished network on labelled images. "
        "The settings model and data are required.",
        epilog=_EPILOG,
    )
