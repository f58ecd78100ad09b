"""Rows of a benchmark as CSV and Markdown, with the command of each. Used by other examples."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

_TITLES = {
    "row": "row",
    "method": "method",
    "loss": "loss",
    "images": "images",
    "epochs": "epochs",
    "seconds": "seconds",
    "images_per_second": "images/s",
    "first_loss": "loss, first",
    "last_loss": "loss, last",
    "knn": "kNN top-1",
    "linear": "linear top-1",
}


@dataclass(frozen=True)
class Entry:
    """One row of the CSV file. Every column is a text, empty if it has no value."""

    row: str
    data_set: str
    student: str
    images: str
    method: str
    loss: str
    made_by: str
    epochs: str = ""
    steps: str = ""
    seconds: str = ""
    images_per_second: str = ""
    first_loss: str = ""
    last_loss: str = ""
    knn: str = ""
    linear: str = ""
    run: str = ""

    def with_training(
        self,
        *,
        epochs: int,
        steps: int,
        seconds: float,
        images_per_second: float,
        first_loss: float | None,
        last_loss: float | None,
        run: str,
    ) -> Entry:
        """Return a copy with the results of a training; `run` is its command or Python call."""
        trained = steps > 0
        return replace(
            self,
            epochs=str(epochs),
            steps=str(steps),
            seconds=f"{seconds:.1f}" if trained else "",
            images_per_second=f"{images_per_second:.1f}" if trained else "",
            first_loss="" if first_loss is None else f"{first_loss:.4f}",
            last_loss="" if last_loss is None else f"{last_loss:.4f}",
            run=run,
        )

    def with_accuracy(self, knn: float, linear: float) -> Entry:
        """Return a copy with two accuracies in [0, 1], written in percent."""
        return replace(self, knn=f"{100 * knn:.1f} %", linear=f"{100 * linear:.1f} %")


def write_entry(entry: Entry, folder: Path) -> str:
    """Append a row to ``rows.csv``, rewrite ``table.md``, and return the content of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.csv"
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(Entry)])
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(entry))
    with file.open(newline="", encoding="utf-8") as stream:
        text = markdown([Entry(**row) for row in csv.DictReader(stream)])
    (folder / "table.md").write_text(text, encoding="utf-8")
    return text


def markdown(entries: list[Entry]) -> str:
    """Return a table, followed by the run and the command that create each row."""
    lines = ["| " + " | ".join(_TITLES.values()) + " |", "|---" * len(_TITLES) + "|"]
    for entry in entries:
        cells = asdict(entry)
        lines.append("| " + " | ".join(cells[name] for name in _TITLES) + " |")
    for entry in entries:
        parts = [part for part in (entry.run, entry.made_by) if part]
        lines += ["", f"`{entry.row}`:", "", *(f"    {part}" for part in parts)]
    return "\n".join(lines) + "\n"


def as_command(settings: Mapping[str, Any]) -> str:
    """Return the `lightly run` command with these settings."""
    pairs = [f"{key}={_word(value)}" for key, value in _flat(settings)]
    return shlex.join(["lightly", "run", *pairs])


def as_python(settings: Mapping[str, Any], teacher: str) -> str:
    """Return the call of `lightly_core.pretrain` with these settings.

    Args:
        settings: Plain data and modules.
        teacher: Code that creates the module.
    """
    arguments = ", ".join(f"{key}={_code(value, teacher)}" for key, value in settings.items())
    return f"lightly_core.pretrain({arguments})"


def first_and_last_loss(file: Path) -> tuple[float | None, float | None]:
    """Return the first and the last logged mean of the loss; None if nothing was trained."""
    if not file.exists():
        return None, None
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    losses = [float(line["train_loss"]) for line in lines if "train_loss" in line]
    return (losses[0], losses[-1]) if losses else (None, None)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _word(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _code(value: object, teacher: str) -> str:
    if isinstance(value, nn.Module):
        return teacher
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_code(v, teacher)}" for k, v in value.items()) + "}"
    return repr(value)
