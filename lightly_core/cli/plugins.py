"""`lightly plugins`: lists the installed plugins and their states."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, near, parse_command, use_plugins
from lightly_core.cli.table import print_json, print_table
from lightly_core.errors import ConfigError
from lightly_core.terminal import fold, terminal_width

if TYPE_CHECKING:
    from lightly_core.plugins.discovery import Plugins
    from lightly_core.plugins.records import PluginStatus, Record


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the plugins. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    use_plugins(options)
    from lightly_core.plugins.discovery import get_plugins

    plugins = get_plugins()
    chosen = _chosen(plugins.statuses, parsed.name)
    if parsed.json:
        print_json([status.as_dict() for status in chosen])
    elif not chosen:
        print("no plugin is installed", file=sys.stderr)
        print("  for example: pip install lightly-torchvision lightly-methods", file=sys.stderr)
    else:
        if parsed.name is None:
            _print_overview(plugins)
        if parsed.name is not None or parsed.verbose:
            for status in chosen:
                if parsed.name is None:
                    print()
                _print_details(plugins, status)
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "plugins",
        usage="[NAME] [-v] [--json]",
        description="List the installed plugins: loaded, blocked, incompatible or failed.",
        epilog="If the environment variable LIGHTLY_PLUGINS is set, only the plugins in it are "
        "imported\n(names separated by commas). LIGHTLY_STRICT_PLUGINS=1 is --strict-plugins.",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a plugin to describe: its name or distribution"
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show targets, licences, missing requirements, import times and tracebacks",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _chosen(statuses: Sequence[PluginStatus], name: str | None) -> list[PluginStatus]:
    """Return the plugins that a name means, or all.

    Raises:
        ConfigError: No plugin has the name.
    """
    if name is None:
        return list(statuses)
    found = [status for status in statuses if name in (status.name, status.distribution)]
    if not found:
        raise ConfigError(_not_installed(name, statuses))
    return found


def _not_installed(name: str, statuses: Sequence[PluginStatus]) -> str:
    """Return a text about a name that no plugin has. It may be the name of what one provides."""
    text = f"no plugin '{name}' is installed"
    for status in statuses:
        for kind, _, own in (provided.partition(" ") for provided in status.provides):
            if own == name:
                described = f"methods {name}" if kind == "method" else f"plugins {status.name}"
                return (
                    f"{text}; the plugin '{status.name}' provides the {kind} '{name}', "
                    f"see `lightly {described}`"
                )
    names = [status.name for status in statuses]
    return f"{text}{near(name, names)}\n  installed: {', '.join(names)}"


def _print_overview(plugins: Plugins) -> None:
    print_table(
        ("PLUGIN", "DISTRIBUTION", "STATE", "PROVIDES"),
        [
            (status.name, status.owner, status.state, ", ".join(status.provides) or status.reason)
            for status in plugins.statuses
        ],
    )


def _print_details(plugins: Plugins, status: PluginStatus) -> None:
    _say(f"{status.name} ({status.owner}): {status.state}", "")
    if status.import_ms:
        _say(f"imported in {status.import_ms} ms", "  ")
    for line in (status.error or "").splitlines():
        _say(line.strip(), "  ")
    for line in (status.traceback or "").splitlines():
        print(f"    {line}")
    for record in plugins.catalog.provided_by(status.name, status.distribution):
        _print_record(record, plugins.catalog.is_ambiguous(record))


def _print_record(record: Record, ambiguous: bool) -> None:
    from lightly_core.plugins.loading import missing_requirements

    _say(f"{record.label}: {record.summary}", "  ")
    _say(f"target: {record.target}", "    ")
    if ambiguous:
        _say(f"provided by another plugin too; use {record.qualified_name}", "    ")
    if record.licence:
        _say(f"licence: {record.licence}", "    ")
    lacking = missing_requirements(record)
    if lacking:
        install = " ".join(f"'{requirement}'" for requirement in lacking)
        _say(f"missing: {', '.join(lacking)}; pip install {install}", "    ")


def _say(text: str, indent: str) -> None:
    """Print a text that fits the terminal."""
    width = terminal_width()
    lines = (
        [indent + text] if width is None else fold(text, width, first=indent, rest=f"{indent}  ")
    )
    print("\n".join(lines))
