"""States of the installed plugins, and packages that they lack. No torch here."""

from __future__ import annotations

from lightly_core.diagnosing.report import Section
from lightly_core.plugins.catalog import Catalog
from lightly_core.plugins.discovery import Plugins
from lightly_core.plugins.loading import missing_requirements
from lightly_core.plugins.records import KINDS

_MOST_NAMES = 3


def plugin_states(plugins: Plugins) -> Section:
    """Return the plugins that are loaded, and what is wrong with the others.

    Args:
        plugins: Catalog and states.
    """
    loaded = [status.name for status in plugins.statuses if status.state == "loaded"]
    others = [status for status in plugins.statuses if status.state != "loaded"]
    rows = [("loaded", ", ".join(loaded) or "none")]
    rows += [(status.name, f"{status.state}: {status.reason}") for status in others]
    rows += _lacking(plugins.catalog)
    advice = []
    if not loaded:
        advice.append(
            "no plugin is loaded, so there are no methods and models: pip install "
            "lightly-torchvision lightly-methods"
        )
    if others:
        advice.append("`lightly plugins -v` shows why a plugin is not loaded")
    return Section("Plugins", tuple(rows), tuple(advice))


def _lacking(catalog: Catalog) -> list[tuple[str, str]]:
    """Return what cannot be used, as packages are missing or too old: names, and how to install."""
    found: dict[tuple[str, ...], list[str]] = {}
    for kind in KINDS:
        for record in catalog.records(kind):
            if lacking := missing_requirements(record):
                found.setdefault(lacking, []).append(record.label)
    rows = []
    for lacking, labels in found.items():
        more = len(labels) - _MOST_NAMES
        names = ", ".join(labels[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
        install = " ".join(f"'{requirement}'" for requirement in lacking)
        rows.append(("not usable", f"{names}; pip install {install}"))
    return rows
