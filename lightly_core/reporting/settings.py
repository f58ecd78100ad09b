"""Tables of settings: of one run, and those in which several runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import attrs

from lightly_core.config.options.fields import default_of, plain, settings_fields
from lightly_core.config.reading.load import Settings
from lightly_core.reporting.reading import RunData

#: Settings that say where a run is, not what it is.
_PLACES = frozenset({"out", "overwrite", "resume", "resume_interrupted"})


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings.

    Attributes:
        name: Name with dots, such as ``optim_args.lr``.
        value: Value as JSON.
        origin: ``given``, ``auto`` or ``default``.
    """

    name: str
    value: str
    origin: str


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their names with dots. Empty groups stay as they are."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def auto_names(settings: Settings) -> list[str]:
    """Return the names of the settings that are "auto" before a run replaces them."""
    groups = {
        "method_args": settings.method,
        "transform_args": settings.transform,
        "optim_args": settings.optimizer,
        "callbacks": settings.callbacks,
    }
    values = {**plain(settings.run), **{name: plain(group) for name, group in groups.items()}}
    return sorted(name for name, value in flat(values).items() if value == "auto")


def given_names(settings: Settings) -> list[str]:
    """Return the names of the settings that differ from their defaults, or that are in a group."""
    found: dict[str, Any] = {}
    for field in settings_fields(type(settings.run)):
        value = getattr(settings.run, field.name)
        default = default_of(field)
        if isinstance(value, Mapping):
            found |= flat(plain(dict(value)), f"{field.name}.")
        elif default is attrs.NOTHING or value != default:
            found[field.name] = value
    return sorted(found)


def settings_of(run: RunData) -> list[Setting]:
    """Return the settings of a run: given ones first, then "auto", then defaults."""
    auto, given = set(run.record.auto), set(run.record.given)
    rows = []
    for name, value in flat(run.config).items():
        origin = "auto" if name in auto else "given" if _is_given(name, given) else "default"
        if name.startswith("derived."):
            origin = "computed"
        rows.append(Setting(name, _text(value), origin))
    order = ["given", "auto", "default", "computed"]
    return sorted(rows, key=lambda row: order.index(row.origin))


def differing(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    """Return the settings in which runs differ, with the value of each run."""
    tables = [flat(run.config) for run in runs]
    names: dict[str, None] = {}
    for table in tables:
        names |= dict.fromkeys(table)
    rows = []
    for name in names:
        if name in _PLACES:
            continue
        values = [_text(table[name]) if name in table else "(none)" for table in tables]
        if len(set(values)) > 1:
            rows.append((name, values))
    return rows


def _is_given(name: str, given: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in given for end in range(1, len(parts) + 1))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
