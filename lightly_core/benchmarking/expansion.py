"""Expand a suite into rows and merge the settings of each, in order of precedence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define

from lightly_core.config.options.fields import settings_fields
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.suite import RowConfig, SuiteConfig
from lightly_core.config.reading.merging import merge
from lightly_core.config.reading.toml_lines import KeyPath
from lightly_core.plugins.catalog import Catalog

_ROW_KEYS = frozenset(field.name for field in settings_fields(RowConfig))
#: Settings that distinguish rows of one method, and their letters in a row's name.
_SIZES = {"batch_size": "b", "epochs": "e"}


@define(frozen=True, kw_only=True)
class Draft:
    """A row whose settings are not checked yet.

    Attributes:
        name: Its name.
        method: Its method.
        about: Settings of `RowConfig`.
        run: Settings of its run.
        groups: Groups of the suite that these are from, the strongest first.
        swept: Names of settings that are from the values of a sweep instead.
    """

    name: str
    method: str
    about: dict[str, Any]
    run: dict[str, Any]
    groups: tuple[KeyPath, ...] = ()
    swept: tuple[str, ...] = ()


def expand(config: SuiteConfig, catalog: Catalog) -> tuple[list[Draft], list[str]]:
    """Return the rows in the order of the table, and the mistakes in the list of rows."""
    problems = []
    given = [dict(row) for row in config.rows]
    named = {row.get("method") for row in given}
    given += [{"method": name} for name in _further(config, catalog) if name not in named]
    drafts = []
    for number, row in enumerate(given, start=1):
        method = row.get("method")
        if not isinstance(method, str):
            problems.append(f'suite.rows: row {number} has no method, expected method = "NAME"')
            continue
        own = ("rows", number - 1)
        for place, entry in enumerate(_entries(row)):
            drafts.append(_draft(config, method, entry, ((*own, "sizes", place), own)))
    counts = Counter(draft.name.lower() for draft in drafts)
    for name in (name for name, count in counts.items() if count > 1):
        problems.append(f"suite.rows: {counts[name]} rows are called '{name}'; give each a name")
    return drafts, problems


def unused(config: SuiteConfig, drafts: Sequence[Draft]) -> list[str]:
    """Return methods with settings but without a row: not installed, or misspelt."""
    used = {draft.method for draft in drafts} | config.skip.keys()
    named = [name for key in config.overrides for name in _methods(key)]
    return [name for name in dict.fromkeys((*named, *config.token_methods)) if name not in used]


def _methods(key: str) -> list[str]:
    """Return the methods that a key of `overrides` names, separated by commas."""
    return [name.strip() for name in key.split(",")]


def _further(config: SuiteConfig, catalog: Catalog) -> list[str]:
    if config.methods != "all":
        return list(config.methods)
    return [
        catalog.usable_name(record)
        for record in catalog.records("method")
        if record.alias_of is None and record.name not in config.skip
    ]


def _entries(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the row itself, or the row at each of its sizes."""
    sizes = row.get("sizes")
    wrong = not isinstance(sizes, list) or not all(isinstance(size, Mapping) for size in sizes)
    if sizes is None or wrong:
        yield dict(row)
        return
    below = {key: value for key, value in row.items() if key != "sizes"}
    for size in sizes:
        entry = merge(below, size, RunConfig)
        if "name" not in size:
            base = row.get("name", row["method"])
            letters = "".join(
                f"-{letter}{size[key]}" for key, letter in _SIZES.items() if key in size
            )
            entry["name"] = f"{base}{letters}"
        yield entry


def _draft(
    config: SuiteConfig, method: str, row: Mapping[str, Any], groups: Sequence[KeyPath]
) -> Draft:
    run = dict(config.run)
    weaker: list[KeyPath] = [("run",)]
    if method in config.token_methods:
        run = merge(run, config.token_run, RunConfig)
        weaker.append(("token_run",))
    for key, settings in config.overrides.items():
        if method in _methods(key):
            run = merge(run, settings, RunConfig)
            weaker.append(("overrides", key))
    own = {key: value for key, value in row.items() if key not in _ROW_KEYS}
    return Draft(
        name=str(row.get("name", method)),
        method=method,
        about={key: value for key, value in row.items() if key in _ROW_KEYS},
        run=merge(run, own, RunConfig),
        groups=(*groups, *reversed(weaker)),
    )
