"""`lightly methods`: lists the pretraining methods of all plugins."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, parse_command, use_plugins
from lightly_core.cli.table import print_json, print_table
from lightly_core.errors import ConfigError
from lightly_core.streams import is_terminal
from lightly_core.terminal import fold, prose_width

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import MethodRecord


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the methods, or describe one. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    if parsed.name is not None:
        if parsed.json:
            raise ConfigError("--json lists all methods; remove the name or --json")
        record = catalog.get("method", parsed.name)
        from lightly_core.cli.method_description import print_method

        print_method(catalog, record)
        return 0
    records = catalog.records("method")
    if parsed.json:
        print_json([_entry(record, catalog) for record in records])
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
        print("", *fold("`lightly methods NAME` describes a method", prose_width()), sep="\n")
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "methods",
        usage="[NAME] [--json]",
        description="List the pretraining methods of all plugins, or describe one of them.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a method to describe")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _entry(record: MethodRecord, catalog: Catalog) -> dict[str, object]:
    """Return a method's entry in the JSON list."""
    from lightly_core.plugins.loading import missing_requirements

    return {
        "name": catalog.usable_name(record),
        "summary": record.summary,
        "distribution": record.distribution,
        "version": record.version,
        "ambiguous": catalog.is_ambiguous(record),
        "requires": list(record.requires),
        "missing": list(missing_requirements(record)),
        "licence": record.licence,
    }
