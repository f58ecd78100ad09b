"""Charts of the metrics of one or several runs, as plain data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lightly_core.reporting.reading import Points, RunData

#: Points of a curve that are shown at most. Longer curves are thinned evenly.
MAX_POINTS = 1_000


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: Name of the metric.
        run: Number of the run.
        points: Steps and values.
    """

    name: str
    run: int
    points: Points


@dataclass(frozen=True)
class Chart:
    """Metrics that share an axis.

    Attributes:
        key: Short and unique.
        title: Heading.
        help: What it shows, in a sentence; may be empty.
        percent: Whether the values are fractions, to be shown in percent.
        curves: At least one.
        loose: Whether the title is only the first part of the names of the metrics.
    """

    key: str
    title: str
    help: str = ""
    percent: bool = False
    curves: list[Curve] = field(default_factory=list)
    loose: bool = False


@dataclass(frozen=True)
class _Group:
    """Metrics whose names match a pattern go into one chart."""

    pattern: str
    title: str
    help: str = ""
    percent: bool = False


#: In the order of the page. The first that matches counts.
_GROUPS = (
    _Group(r"train_loss", "Loss", "Training loss. It does not show whether the features improve."),
    _Group(
        r"(knn|linear)/top\d+",
        "Accuracy",
        "Of the frozen features on labelled images: k nearest neighbours and linear classifier.",
        percent=True,
    ),
    _Group(
        r"embedding/std",
        "Dispersion",
        "Spread of the features' directions: 0 if all images get the same feature, 1 if the "
        "directions are evenly distributed.",
    ),
    _Group(
        r"rank/.*",
        "Rank",
        "RankMe is the effective rank of the features. rank/effective is the number of dimensions "
        "along which images differ.",
    ),
    _Group(r"lr", "Learning rate", "Of the parameters without a factor of their own."),
    _Group(r"grad_norm", "Gradient norm", "Norm of all gradients before clipping."),
    _Group(r"images_per_second", "Images per second", "Over all processes."),
    _Group(
        r"data_wait", "Waiting for data", "Fraction of the time that a step waited for its images.",
        percent=True,
    ),
    _Group(r"memory/.*", "Memory", "Largest memory so far, in GiB."),
)  # fmt: skip
#: Metrics without a chart: one is the axis, the others have a single value.
_HIDDEN = re.compile(r"epoch|profile/.*")


def charts_of(runs: Sequence[RunData]) -> list[Chart]:
    """Return the charts of all metrics of the runs. Metrics without a finite value are left out.

    Args:
        runs: With several runs each chart has one metric, so that the runs can be compared.
    """
    names: dict[str, None] = {}
    for run in runs:
        for name, points in run.metrics.items():
            if not _HIDDEN.fullmatch(name) and any(value is not None for _, value in points):
                names[name] = None
    charts: dict[str, Chart] = {}
    for name in sorted(names, key=_order):
        chart = _chart(name, single=len(runs) == 1)
        chart = charts.setdefault(chart.key, chart)
        for number, run in enumerate(runs):
            points = run.metrics.get(name, [])
            if any(value is not None for _, value in points):
                chart.curves.append(Curve(name, number, thinned(points)))
    return [_named(chart) for chart in charts.values()]


def _named(chart: Chart) -> Chart:
    """Return the chart; one of an unknown group with a single metric gets the name of it."""
    names = {curve.name for curve in chart.curves}
    return replace(chart, title=names.pop()) if chart.loose and len(names) == 1 else chart


def thinned(points: Points, most: int = MAX_POINTS) -> Points:
    """Return at most `most` points, evenly chosen, with the first and the last."""
    if len(points) <= most:
        return points
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _order(name: str) -> tuple[int, str]:
    for number, group in enumerate(_GROUPS):
        if re.fullmatch(group.pattern, name):
            return number, name
    return len(_GROUPS), name


def _chart(name: str, *, single: bool) -> Chart:
    number, _ = _order(name)
    if number < len(_GROUPS):
        group = _GROUPS[number]
        title = group.title if single or group.pattern == re.escape(name) else name
        key = f"group-{number}" if single else f"metric-{name}"
        return Chart(key, title, group.help, group.percent)
    prefix, slash, _ = name.partition("/")
    if single and slash:
        return Chart(f"other-{prefix}", prefix, "Logged by the method.", loose=True)
    return Chart(f"metric-{name}", name, "Logged by the method.")
