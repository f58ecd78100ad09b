"""Results of an evaluation: plain data, and the file and table written from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lightly_core.atomic import atomic_path
from lightly_core.evaluation.uncertainty import (
    known_error,
    percent,
    standard_error,
    too_few_images,
)
from lightly_core.notebook import paragraph, table

_HEADER = ("protocol", "top-1", "top-5", "further", "seconds")
#: Settings of a result that the table shows, by protocol.
_SHOWN = {
    "knn": ("k", "search"),
    "linear": ("solver", "augment"),
    "finetune": ("optim", "epochs"),
    "retrieval": ("search",),
}


@dataclass(frozen=True)
class EvaluationResult:
    """Result of `lightly_core.evaluate`.

    Attributes:
        results: One dict of plain data for each protocol, and for each k of kNN; see
            docs/evaluating.md for the keys.
        out: The JSON file with the results; None if none was requested.
    """

    results: tuple[dict[str, Any], ...]
    out: Path | None = None

    def of(self, protocol: str, **settings: object) -> dict[str, Any]:
        """Return the first result of a protocol, such as ``of("knn", k=20)``.

        Args:
            protocol: ``knn``, ``linear``, ``finetune`` or ``retrieval``.
            settings: Required values of the result's settings.

        Raises:
            KeyError: There is no such result.
        """
        for result in self.results:
            given = result["settings"]
            fits = all(given.get(name) == value for name, value in settings.items())
            if result["protocol"] == protocol and fits:
                return result
        raise KeyError(f"no result of protocol '{protocol}' with {settings or 'any settings'}")

    def top1(self, protocol: str, **settings: object) -> float:
        """Return the accuracy of a protocol in [0, 1]; arguments and errors as in `of`."""
        return float(self.of(protocol, **settings)["top1"])

    def top5(self, protocol: str, **settings: object) -> float:
        """Return the fraction with the true class among the best five; see `top1`."""
        return float(self.of(protocol, **settings)["top5"])

    def _repr_html_(self) -> str:
        notes = [*_notes(self.results), *([f"written to {self.out}"] if self.out else [])]
        data = paragraph(_data_text(self.results[0]["data"])) if self.results else ""
        return table(_HEADER, map(_row, self.results)) + data + "".join(map(paragraph, notes))


def write_results(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write ``{"results": [...]}``."""
    text = json.dumps({"results": list(results)}, indent=2, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def print_results(results: Sequence[Mapping[str, Any]]) -> None:
    """Show results as a table, and their notes below it."""
    rows = Table(*_HEADER)
    for result in results:
        rows.add_row(*_row(result))
    console = Console()
    console.print(rows)
    for line in (_data_text(results[0]["data"]), *_notes(results)):
        console.print(line, highlight=False, markup=False)


def _row(result: Mapping[str, Any]) -> list[str]:
    values = [_accuracy(result, name) for name in ("top1", "top5")]
    return [_title(result), *values, _further(result), f"{result['seconds']:.1f}"]


def _accuracy(result: Mapping[str, Any], name: str) -> str:
    value = result.get(name)
    return percent(value, known_error(value, result["data"]["num_val"]), digits=2)


def _data_text(data: Mapping[str, Any]) -> str:
    return (
        f"{data['num_val']} images classified ({data['validation']}), {data['num_classes']} "
        f"classes, {data['num_train']} images to learn from"
    )


def _notes(results: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = [f"note: {_title(result)}: {note}" for result in results for note in result["notes"]]
    return [*_few(results), *notes]


def _few(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return that there are too few images, for the accuracy whose error is the largest."""
    pairs = [(result["top1"], result["data"]["num_val"]) for result in results if "top1" in result]
    if not pairs:
        return []
    text = too_few_images(*max(pairs, key=lambda pair: standard_error(*pair)))
    return [f"note: {text}"] if text else []


def _title(result: Mapping[str, Any]) -> str:
    settings = result["settings"]
    words = []
    for name in _SHOWN[result["protocol"]]:
        value = settings.get(name)
        if value is True:
            words.append(name)
        elif value not in (None, False):
            words.append(f"{name}={value}" if isinstance(value, int) else str(value))
    return " ".join([result["protocol"], *words])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _further(result: Mapping[str, Any]) -> str:
    parts = []
    if result["protocol"] == "retrieval":
        parts += [f"mAP {_percent(result['map'])}"] if "map" in result else []
        parts += [f"R@{k} {_percent(result[f'recall_at_{k}'])}" for k in result["settings"]["k"]]
    if "search_recall" in result:
        parts.append(f"{_percent(result['search_recall'])} of the neighbours found")
    parts += [f"{name} {result[name]:g}" for name in ("penalty", "lr") if name in result]
    return ", ".join(parts)
