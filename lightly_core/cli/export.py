"""`lightly export`: writes a network in the format of another tool."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import Parser
from lightly_core.cli.settings_words import run_settings_command, settings_parser

_EPILOG = """\
  lightly export model=out/my_run out=model.onnx
  lightly export model=out/my_run best=true out=hf_model format=huggingface
  lightly export model=torchvision/resnet18 checkpoint=weights.pt out=model.safetensors

`lightly formats` lists the formats.
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """Export, or print the help. Return the exit code."""
    from lightly_core.config.options.export import ExportConfig

    return run_settings_command(
        make_parser(), arguments, options, config_cls=ExportConfig, start=_start
    )


def make_parser() -> Parser:
    """Return the parser of the command."""
    return settings_parser(
        "export",
        description="Write a network in the format of another tool, and compare the file with "
        "the network. The settings model and out are required.",
        epilog=_EPILOG,
    )


def _start(config_file: str | None, pairs: Sequence[str]) -> None:
    from lightly_core.converting.command import export_with

    export_with(config_file=config_file, pairs=pairs)
