"""Renders the report of one or several runs as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lightly_core.atomic import atomic_path
from lightly_core.data.names import shown
from lightly_core.reporting.curves import Chart, charts_of
from lightly_core.reporting.facts import facts_of
from lightly_core.reporting.images import read_images, read_views
from lightly_core.reporting.maps import MapData, map_of
from lightly_core.reporting.reading import RunData
from lightly_core.reporting.settings import differing, settings_of
from lightly_core.version import __version__

#: Name in the head of each page, by which a report is recognised.
BRAND = "lightly report"
_HERE = Path(__file__).parent
#: Skipped images that are listed; `skipped_images.csv` lists all.
_MAX_SKIPPED = 100
#: Origins of the settings that a button shows, and its text.
_ORIGINS = (
    ("given auto", "Given and auto"),
    ("default", "Defaults"),
    ("computed", "Computed"),
    ("all", "All"),
)


@dataclass(frozen=True)
class Report:
    """A report that was written. In a notebook it shows itself.

    Attributes:
        path: The HTML file.
    """

    path: Path

    def _repr_html_(self) -> str:
        """Return an inline frame with the page, which notebooks show."""
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" title="Report" sandbox="allow-scripts" '
            'style="width: 100%; height: 800px; border: 1px solid #888"></iframe>'
        )


def write_report(runs: Sequence[RunData], path: Path, *, umap: bool = True) -> Report:
    """Write the report of one or several runs.

    Args:
        runs: At least one.
        umap: Whether UMAP is used where it is installed.
        path: The HTML file. A file that is there is replaced.

    Raises:
        OSError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(render(runs, umap=umap), encoding="utf-8")
    return Report(path)


def render(runs: Sequence[RunData], *, umap: bool = True) -> str:
    """Return the page. It contains all scripts and pictures, and a policy that forbids requests.

    Args:
        runs: At least one.
        umap: Whether UMAP is used where it is installed.
    """
    charts = charts_of(runs)
    maps = _maps(runs, umap=umap)
    data = {
        "runs": [shown(run.name) for run in runs],
        "charts": [_drawn(one) for one in charts],
        "maps": [one.drawn for one in maps],
    }
    scripts = [_file("vendor/echarts.common.min.js"), _file("templates/report.js")]
    facts = [facts_of(run) for run in runs]
    single = runs[0] if len(runs) == 1 else None
    num_skipped = sum(len(run.skipped) for run in runs)
    page = {
        "title": _title(runs),
        "facts": facts,
        "labels": list(dict.fromkeys(label for fact in facts for label, _ in fact.numbers)),
        "charts": charts,
        "maps": maps,
        "layouts": list(dict.fromkeys(name for one in maps for name in one.layouts)),
        "views": read_views(single.folder) if single is not None else [],
        "settings": settings_of(single) if single is not None else [],
        "origins": _ORIGINS,
        "differing": differing(runs),
        "skipped": [row for run in runs for row in run.skipped[:_MAX_SKIPPED]],
        "num_skipped": num_skipped,
        "record": runs[0].record,
        "machine": [*runs[0].record.versions.items(), *runs[0].record.machine.items()],
        "version": __version__,
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            page,
            brand=BRAND,
            sections=_sections(page),
            data=as_script(data),
            scripts=[Markup(script) for script in scripts],  # our own files
            style=Markup(_file("templates/report.css")),
            policy=_policy(scripts),
        )
    )


def _maps(runs: Sequence[RunData], *, umap: bool) -> list[MapData]:
    """Return the maps of the runs that have features."""
    found = []
    for number, run in enumerate(runs):
        images = read_images(run.folder)
        one = None if images is None else map_of(images, number, umap=umap)
        if one is not None:
            found.append(one)
    return found


def _sections(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the anchor and the name of each section that has content."""
    single = len(page["facts"]) == 1
    sections = [
        ("overview", "Result", True),
        ("curves", "Curves", page["charts"]),
        ("maps", "Maps", page["maps"]),
        ("neighbours", "Neighbours", single and page["maps"] and page["maps"][0].neighbours),
        ("patches", "Patches", single and page["maps"] and page["maps"][0].patches),
        ("views", "Views", page["views"]),
        ("skipped", "Skipped images", page["num_skipped"]),
        ("code", "Code", single and page["record"].snippet),
        ("settings", "Settings", not single or page["settings"]),
        ("machine", "Versions", single and page["machine"]),
    ]
    return [(key, name) for key, name, present in sections if present]


def as_script(data: object) -> Markup:
    """Return data as JSON that can stand in a script element, whatever texts it contains."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # no markup is left in it


def _policy(scripts: Sequence[str]) -> str:
    """Return a content security policy: these scripts only, and no request to a network."""
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _drawn(chart: Chart) -> dict[str, Any]:
    """Return a chart for the script."""
    return {**asdict(chart), "curves": [asdict(curve) for curve in chart.curves]}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment


@cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _title(runs: Sequence[RunData]) -> str:
    names = " / ".join(shown(run.name) for run in runs[:4])
    return names if len(runs) <= 4 else f"{names} / ..."
