"""`lightly models`: lists the backbones of all plugins."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, near, parse_command, use_plugins
from lightly_core.cli.table import print_json

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import ModelsRecord


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the models, one per line, and notes on stderr. Return the exit code."""
    parsed = parse_command(_parser(), arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.listing import matching
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    listed = _collect(catalog, live=parsed.live)
    names = [name for _, library in listed for name in library]
    found = matching(names, parsed.pattern)
    chosen = set(found)
    if parsed.json:
        print_json(_entries(listed, chosen))
        return 0
    for name in found:
        print(name)
    _note(catalog, listed, names, chosen, parsed.pattern, parsed.live)
    return 0


def _parser() -> Parser:
    parser = command_parser(
        "models",
        usage="[PATTERN] [--live] [--json]",
        description="List the models of all plugins, one per line, as `model=` accepts them.",
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="part of a name, or a pattern with *, ? and [...] for the whole name",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="import the libraries and list their own names, which takes seconds",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _collect(catalog: Catalog, *, live: bool) -> list[tuple[ModelsRecord, list[str]]]:
    """Return each library's names. One that cannot be read is reported and skipped."""
    from lightly_core.errors import PluginError
    from lightly_core.listing import library_models

    listed = []
    for record in catalog.records("models"):
        try:
            names = library_models(catalog.usable_name(record), record, live=live)
        except PluginError as error:
            print(f"warning: {error}", file=sys.stderr)
            continue
        listed.append((record, names))
    return listed


def _entries(
    listed: Sequence[tuple[ModelsRecord, list[str]]], chosen: set[str]
) -> list[dict[str, object]]:
    from lightly_core.plugins.loading import missing_requirements

    entries = []
    for record, names in listed:
        shared: dict[str, object] = {
            "library": record.name,
            "distribution": record.distribution,
            "version": record.version,
            "missing": list(missing_requirements(record)),
            "licence": record.licence,
        }
        entries += [{"name": name, **shared} for name in names if name in chosen]
    return entries


def _note(
    catalog: Catalog,
    listed: Sequence[tuple[ModelsRecord, list[str]]],
    names: Sequence[str],
    chosen: set[str],
    pattern: str | None,
    live: bool,
) -> None:
    """Print notes about the list on stderr."""
    from lightly_core.plugins.loading import missing_requirements

    notes = []
    if not catalog.records("models"):
        notes += [
            "no model: no plugin that provides models is installed or loaded",
            "  for example: pip install lightly-torchvision",
            "  see `lightly plugins`",
        ]
    elif pattern is not None and not chosen:
        notes.append(f"no model matches '{pattern}'{near(pattern, names)}")
    for record, library in listed:
        if record.names is None and not live:
            notes.append(f"the plugin {record.owner} lists no names; --live imports its library")
        lacking = missing_requirements(record)
        if lacking and (pattern is None or chosen.intersection(library)):
            install = " ".join(f"'{requirement}'" for requirement in lacking)
            notes.append(
                f"{record.name}/... needs {', '.join(lacking)}, which is not installed"
                f"\n  pip install {install}"
            )
    if notes:
        print("\n".join(notes), file=sys.stderr)
