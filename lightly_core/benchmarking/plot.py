"""Accuracy over epochs, a line for each row: `accuracy.png` and `accuracy.svg`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_core.atomic import atomic_path
from lightly_core.benchmarking.measured import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What to do where matplotlib is missing.
MISSING = "no plot: matplotlib is not installed; pip install 'lightly-core[benchmark]'"

#: Okabe and Ito's colours, distinct with any colour vision. Without yellow, which is too
#: faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_GREY = "#666666"
_INCH_PER_LABEL = 0.19
_DPI = 150


@dataclass(frozen=True)
class Line:
    """One line of the plot.

    Attributes:
        label: Written at its end.
        model: Backbone; lines of the same one share the mark of the untrained network.
        points: Epochs and accuracies in [0, 1]; epoch 0 is the untrained network.
    """

    label: str
    model: str
    points: Curve


def can_plot() -> bool:
    """Return whether matplotlib is installed, without importing it."""
    return importlib.util.find_spec("matplotlib") is not None


def write_plot(lines: Sequence[Line], title: str, folder: Path) -> None:
    """Plot all lines that have points. Writes nothing if there are none.

    Args:
        lines: Rows, in the order of the table.
        title: Name of the suite.
        folder: Where ``accuracy.png`` and ``accuracy.svg`` go.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return
    import matplotlib

    figure = draw(lines, title)
    for ending in ("png", "svg"):
        # Without a date and with fixed ids, the same numbers give the same file.
        reproducible = matplotlib.rc_context({"svg.hashsalt": "lightly"})
        with atomic_path(folder / f"accuracy.{ending}") as temporary, reproducible:
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(temporary, format=ending, dpi=_DPI, metadata=metadata)


def draw(lines: Sequence[Line], title: str) -> Figure:
    """Return the figure. matplotlib's global state stays as it is.

    Args:
        lines: At least one line with at least one point each.
        title: Name of the suite.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    height = max(4.2, 1.4 + _INCH_PER_LABEL * len(lines))
    longest = max(len(line.label) for line in lines)
    width = 6.6 + 0.07 * (longest + 6)  # inches; the last part is for the labels
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.75 / width, 0.6 / height, 5.15 / width, 1 - 1.1 / height))
    axes.set_title(f"{title}: accuracy while training", loc="left", fontsize=11)
    axes.set_xlabel("Epoch")
    axes.set_ylabel("kNN top-1 (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    end = max(max(line.points)[0] for line in lines) or 1
    axes.set_xlim(0, end)
    for number, line in enumerate(lines):
        _draw_line(axes, number, line)
    low, high = _limits(lines)
    axes.set_ylim(low, high)
    _draw_labels(axes, lines, end, (height - 1.1))
    _draw_untrained(axes, lines, end)
    return figure


def _style(number: int) -> tuple[str, object]:
    return _COLOURS[number % len(_COLOURS)], _STYLES[number // len(_COLOURS) % len(_STYLES)]


def _draw_line(axes: Axes, number: int, line: Line) -> None:
    colour, style = _style(number)
    epochs = [epoch for epoch, _ in line.points]
    values = [100 * value for _, value in line.points]
    few = len(epochs) <= 12
    axes.plot(
        epochs,
        values,
        color=colour,
        linestyle=style,
        linewidth=1.6,
        marker="o" if few else None,
        markersize=3,
        clip_on=False,
        zorder=3,
    )


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    values = [100 * value for line in lines for _, value in line.points]
    margin = max(1.0, 0.06 * (max(values) - min(values)))
    return max(0.0, min(values) - margin), min(100.0, max(values) + margin)


def _draw_labels(axes: Axes, lines: Sequence[Line], end: float, inches: float) -> None:
    """Write each line's name and last accuracy at the right, joined to its end by thin lines."""
    low, high = axes.get_ylim()
    gap = _INCH_PER_LABEL / inches * (high - low)
    last = [100 * max(line.points)[1] for line in lines]
    places = separate(last, gap, low, high)
    gutter = [end * factor for factor in (1.01, 1.05, 1.09, 1.1)]
    for number, (line, value, place) in enumerate(zip(lines, last, places, strict=True)):
        colour, style = _style(number)
        final = max(line.points)[0]
        axes.plot([final], [value], "o", color=colour, markersize=3.5, clip_on=False, zorder=4)
        if final < end:  # a shorter run
            to_edge = ([final, gutter[0]], [value, value])
            axes.plot(*to_edge, color=colour, linewidth=0.7, alpha=0.35, clip_on=False, zorder=2)
        axes.plot(gutter[:2], [value, place], color=colour, linewidth=0.7, clip_on=False)
        axes.plot(gutter[1:3], [place] * 2, color=colour, linestyle=style, clip_on=False)
        axes.text(gutter[3], place, f"{line.label}  {value:.1f}", va="center", fontsize=8.5)


def separate(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels until none overlap, each as little as possible.

    Args:
        wanted: Preferred position of each label.
        gap: Minimum distance of two labels.
        low: Lowest position.
        high: Highest position.

    Returns:
        Positions in the order of `wanted`, within [low, high] where all fit.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # Overlapping neighbours become one block, centred at the mean of their preferred positions.
    blocks: list[list[int]] = []
    starts: list[float] = []
    for index in order:
        block = [index]
        start = wanted[index]
        while True:
            room = gap * (len(block) - 1)
            start = min(max(start, low), max(low, high - room))
            if not blocks or starts[-1] + gap * len(blocks[-1]) <= start:
                break
            block = blocks.pop() + block
            starts.pop()
            centre = sum(wanted[i] for i in block) / len(block)
            start = centre - gap * (len(block) - 1) / 2
        blocks.append(block)
        starts.append(start)
    places = [0.0] * len(wanted)
    for start, block in zip(starts, blocks, strict=True):
        for offset, index in enumerate(block):
            places[index] = start + gap * offset
    return places


def _draw_untrained(axes: Axes, lines: Sequence[Line], end: float) -> None:
    """Mark the accuracy of each backbone before its first step."""
    by_model: dict[str, list[float]] = {}
    for line in lines:
        by_model.setdefault(line.model, []).extend(
            100 * value for epoch, value in line.points if epoch == 0
        )
    known = {model: values for model, values in by_model.items() if values}
    for model, values in known.items():
        mean = sum(values) / len(values)
        axes.axhline(mean, color=_GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            "untrained" if len(known) == 1 else f"untrained {model}",
            xy=(end, mean),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=_GREY,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
            zorder=2,
        )
