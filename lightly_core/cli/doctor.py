"""`lightly doctor`: checks the installation and the machine, and measures how images are read."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
  lightly doctor
  lightly doctor data=images
  lightly doctor data=images model=torchvision/resnet50 method=simclr batch_size=256
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Print the report, or the help. Return the exit code."""
    from lightly_core.config.options.doctor import DoctorConfig

    return run_settings_command(
        make_parser(), arguments, options, config_cls=DoctorConfig, start=_start
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    return settings_parser(
        "doctor",
        description="Print versions, devices, plugins and the precision that a run takes. With "
        "data, measure how fast its images are read and recommend settings. With data and model, "
        "find the largest batch that fits into a GPU.",
        epilog=_EPILOG,
    )


def _start(config_file: str | None, pairs: Sequence[str]) -> None:
    from lightly_core.diagnosing.command import print_doctor

    print_doctor(config_file, pairs)
