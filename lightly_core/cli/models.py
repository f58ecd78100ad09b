"""`lightly models`: lists the backbones of all plugins, or describes one."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightly_core.cli.parser import Parser, command_parser, near, parse_command, use_plugins
from lightly_core.cli.table import print_json
from lightly_core.errors import ConfigError
from lightly_core.terminal import terminal_width

if TYPE_CHECKING:
    from lightly_core.plugins.catalog import Catalog
    from lightly_core.plugins.records import ModelsRecord

_EPILOG = """\
Without arguments, a terminal shows the families of models, and a pipe gets all names.

  lightly models --family timm/resnet
  lightly models 'torchvision/*18'
  lightly models torchvision/resnet18
  lightly models --all | grep dinov3
"""


def main(arguments: Sequence[str], options: Namespace) -> int:
    """List the models, one per line, and notes on stderr. Return the exit code."""
    parsed = parse_command(make_parser(), arguments)
    if parsed is None:
        return 0
    _refuse_both(parsed)
    use_plugins(options)
    from lightly_core.listing import matching
    from lightly_core.plugins.discovery import get_plugins

    catalog = get_plugins().catalog
    listed = _collect(catalog, live=parsed.live)
    names = [name for _, library in listed for name in library]
    if parsed.family is not None:
        found = _of_family(catalog, listed, parsed.family)
    else:
        found = matching(names, parsed.pattern)
    chosen = set(found)
    if parsed.json:
        print_json(_entries(listed, chosen))
        return 0
    if parsed.pattern is not None and parsed.pattern in chosen:
        from lightly_core.cli.model_description import print_model

        print_model(catalog, listed, parsed.pattern)
    elif names and _wants_families(parsed):
        from lightly_core.cli.model_description import print_families

        print_families(catalog, listed)
    else:
        for name in found:
            print(name)
    _note(catalog, listed, names, chosen, parsed.pattern, parsed.live)
    return 0


def make_parser() -> Parser:
    """Return the parser of the command."""
    parser = command_parser(
        "models",
        usage="[PATTERN] [--all] [--family NAME] [--live] [--json]",
        description="List the models of all plugins as `model=` accepts them, or describe one.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="name of a model to describe; or part of a name, or a pattern with *, ? and [...] for "
        "the whole name",
    )
    parser.add_argument("--all", action="store_true", help="list all names, one per line")
    parser.add_argument("--family", metavar="NAME", help="list the models of a family")
    parser.add_argument(
        "--live",
        action="store_true",
        help="import the libraries and list their own names, which takes seconds",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _refuse_both(parsed: Namespace) -> None:
    ways = {"PATTERN": parsed.pattern, "--all": parsed.all, "--family": parsed.family}
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise ConfigError(f"expected one of {', '.join(ways)}, got {' and '.join(given)}")


def _wants_families(parsed: Namespace) -> bool:
    asks_for_names = parsed.pattern or parsed.all or parsed.family or parsed.live
    return not asks_for_names and terminal_width() is not None


def _of_family(
    catalog: Catalog, listed: Sequence[tuple[ModelsRecord, list[str]]], name: str
) -> list[str]:
    """Return the models of a family, given with or without its library.

    Raises:
        ConfigError: There is no such family.
    """
    from lightly_core.cli.model_description import families

    known = families(catalog, listed)
    found = [family for family in known if name in (family.name, family.name.partition("/")[2])]
    if not found:
        guess = near(name, [part for one in known for part in (one.name, one.name.split("/")[1])])
        raise ConfigError(
            f"there is no family '{name}' of models{guess}\n  see `lightly models` in a terminal"
        )
    return [model for family in found for model in family.models]


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
    from lightly_core.plugins.model_facts import facts_of, read_facts

    entries = []
    for record, names in listed:
        shared: dict[str, object] = {
            "library": record.name,
            "distribution": record.distribution,
            "version": record.version,
            "missing": list(missing_requirements(record)),
            "licence": record.licence,
        }
        facts = read_facts(record)
        for name in names:
            if name in chosen:
                found = facts_of(name.partition("/")[2], facts)
                known = {
                    "family": found.family if found else None,
                    "parameters": found.parameters if found else None,
                    "feature_dim": found.feature_dim if found else None,
                    "capabilities": list(found.capabilities) if found else None,
                }
                entries.append({"name": name, **shared, **known})
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
