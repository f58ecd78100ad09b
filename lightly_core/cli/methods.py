"""`lightly methods`: lists the pretraining methods of all plugins."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import command_parser, parse_command, use_plugins
from lightly_core.cli.table import print_json, print_table
from lightly_core.errors import ConfigError
from lightly_core.streams import is_terminal

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import MethodRecord


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the methods, or describe one. Return the exit code."""
    parser = command_parser(
        "methods",
        usage="[NAME] [--json]",
        description="List the pretraining methods of all plugins, or describe one of them.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a method to describe")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parse_command(parser, arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    if parsed.name is not None:
        if parsed.json:
            raise ConfigError("--json lists all methods; remove the name or --json")
        print(_description(catalog.get("method", parsed.name)))
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
        print("\n`lightly methods NAME` describes a method")
    return 0


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


def _description(record: MethodRecord) -> str:
    """Return the description of a method: its use, its paper and its requirements."""
    from lightly_core.config.method import MethodConfig
    from lightly_core.plugins.loading import load_config

    config = load_config(record)
    lines = [f"{record.name} ({record.owner}): {record.summary}"]
    if issubclass(config, MethodConfig):
        card = config.card
        if card is not None:
            address = card.url or f"https://arxiv.org/abs/{card.arxiv}"
            lines += [f"  paper: {card.paper}, {address}", f"  use: {card.use}"]
        lines += ["  requires:", *(f"    {text}" for text in config().requirements().sentences())]
    lines.append(f"  options: lightly run method={record.name} --help")
    return "\n".join(lines)
