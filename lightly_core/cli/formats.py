"""`lightly formats`: lists the formats of `lightly export`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, parse_command, use_plugins
from lightly_core.cli.table import print_json, print_table
from lightly_core.streams import is_terminal
from lightly_core.terminal import fold, prose_width

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import FormatRecord


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the formats. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    records = catalog.records("format")
    if parsed.json:
        print_json([_entry(record, catalog) for record in records])
        return 0
    print_table(
        ("FORMAT", "ENDING", "PLUGIN", "SUMMARY"),
        [
            (
                catalog.usable_name(record),
                " ".join(record.suffixes) or "(folder)",
                record.owner,
                f"{record.summary}{_install(record)}",
            )
            for record in records
        ],
    )
    if is_terminal(sys.stdout):
        text = "`lightly export --help` describes the settings"
        print("", *fold(text, prose_width()), sep="\n")
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "formats",
        usage="[--json]",
        description="List the formats of `lightly export`, of the core and of all plugins.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _install(record: FormatRecord) -> str:
    """Return how to install what a format lacks, empty if it lacks nothing."""
    from lightly_core.plugins.loading import missing_requirements

    missing = missing_requirements(record)
    return " Needs pip install " + " ".join(f"'{name}'" for name in missing) if missing else ""


def _entry(record: FormatRecord, catalog: Catalog) -> dict[str, object]:
    """Return the entry of a format in the JSON list."""
    from lightly_core.plugins.loading import missing_requirements

    return {
        "name": catalog.usable_name(record),
        "summary": record.summary,
        "suffixes": list(record.suffixes),
        "folder": record.is_folder,
        "parts": list(record.parts),
        "plugin": record.owner,
        "requires": list(record.requires),
        "missing": list(missing_requirements(record)),
    }
