"""`lightly methods`: which pretraining methods can be used."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from lightly_core.cli.parser import command_parser, parse_command, use_plugins
from lightly_core.cli.table import print_json, print_table
from lightly_core.streams import is_terminal


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the methods; returns the exit code."""
    parser = command_parser(
        "methods", usage="[--json]", description="List the pretraining methods of all plugins."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parse_command(parser, arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins
    from lightly_core.plugins.loading import missing_requirements

    catalog = get_plugins().catalog
    records = catalog.records("method")
    if parsed.json:
        print_json(
            [
                {
                    "name": catalog.usable_name(record),
                    "summary": record.summary,
                    "distribution": record.distribution,
                    "version": record.version,
                    "ambiguous": catalog.is_ambiguous(record),
                    "requires": list(record.requires),
                    "missing": list(missing_requirements(record)),
                    "licence": record.licence,
                }
                for record in records
            ]
        )
        return 0
    if not records:
        print("no method: no plugin that provides one is installed or loaded", file=sys.stderr)
        print("  for example: pip install lightly-methods", file=sys.stderr)
        print("  see `lightly plugins`", file=sys.stderr)
        return 0
    print_table(
        ("METHOD", "PLUGIN", "SUMMARY"),
        [(catalog.usable_name(record), record.owner, record.summary) for record in records],
    )
    if is_terminal(sys.stdout):
        print("\n`lightly run method=NAME --help` shows a method's options")
    return 0
