"""The tables: `results.csv` for programs, `results.md` for people."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightly_core.atomic import atomic_path
from lightly_core.benchmarking.files import TRIALS_FILE
from lightly_core.benchmarking.measured import Measured, Scores
from lightly_core.benchmarking.results import RowResult
from lightly_core.benchmarking.suite import Suite
from lightly_core.benchmarking.sweeps.best import words
from lightly_core.benchmarking.sweeps.table import counts, section
from lightly_core.evaluation.uncertainty import points, standard_error, too_few_images

_MISSING = "-"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: Its heading, the same in both files.
        text: Text in Markdown.
        raw: Value in CSV: percent, minutes and 10^9 bytes as numbers without a unit.
        optional: Whether Markdown skips it where it is empty.
    """

    title: str
    text: Callable[[RowResult], str]
    raw: Callable[[RowResult], str]
    optional: bool = True


def _plain(title: str, read: Callable[[RowResult], str]) -> Column:
    return Column(title, read, read, optional=False)


def _number(
    title: str, read: Callable[[Measured], float | None], factor: float, unit: str = ""
) -> Column:
    def shown(result: RowResult, digits: int, unit: str) -> str:
        value = read(result.measured) if result.measured is not None else None
        return "" if value is None else f"{value * factor:.{digits}f}{unit}"

    return Column(title, lambda o: shown(o, 1, unit), lambda o: shown(o, 2, ""))


def _score(title: str, name: str) -> Column:
    """Return the column of an accuracy: with its standard error in Markdown, bare in CSV."""
    bare = _number(title, lambda measured: getattr(measured.scores, name), 100)

    def text(result: RowResult) -> str:
        scores = result.measured.scores if result.measured is not None else Scores()
        value: float | None = getattr(scores, name)
        return "" if value is None else points(value, scores.error(name))

    return Column(title, text, bare.raw)


def _published(title: str, name: str) -> Column:
    def shown(result: RowResult, digits: int) -> str:
        published = result.row.published
        value = getattr(published, name) if published is not None else None
        return "" if value is None else f"{100 * value:.{digits}f}"

    return Column(title, lambda result: shown(result, 1), lambda result: shown(result, 2))


#: All columns of the CSV: those of the published tables first.
COLUMNS = (
    _plain("Model", lambda result: result.row.label),
    _plain("Backbone", lambda result: result.row.model),
    _plain("Batch Size", lambda result: str(_size(result, "batch_size"))),
    _plain("Epochs", lambda result: str(_size(result, "epochs"))),
    _score("kNN Top 1", "knn_top1"),
    _score("Linear Top1", "linear_top1"),
    _score("Linear Top5", "linear_top5"),
    _score("Finetune Top1", "finetune_top1"),
    _score("Finetune Top5", "finetune_top5"),
    _number("Runtime", lambda measured: measured.seconds, 1 / 60, " Min"),
    _number("GPU Memory", lambda measured: measured.device_memory, 1e-9, " GByte"),
    _score("kNN Top 1, max over epochs", "knn_max"),
    _score("kNN Top 1, untrained", "knn_untrained"),
    *(
        _published(f"Published {title}", name)
        for title, name in (
            ("kNN Top 1", "knn_top1"),
            ("Linear Top1", "linear_top1"),
            ("Linear Top5", "linear_top5"),
            ("Finetune Top1", "finetune_top1"),
            ("Finetune Top5", "finetune_top5"),
        )
    ),
    _number("Process Memory", lambda measured: measured.process_memory, 1e-9, " GByte"),
)
_ONLY_CSV = ("Process Memory",)


def _size(result: RowResult, name: str) -> object:
    """Return the value of the training, or the requested one before it."""
    source = result.measured or result.row.settings.run
    return getattr(source, name)


def write_csv(results: Sequence[RowResult], path: Path) -> None:
    """Write all columns, then the name, the state and the notes of each row."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(column.title for column in COLUMNS), "Row", "State", "Notes"])
        for result in results:
            notes = "; ".join(_one_line(note) for note in _notes(result))
            cells = [column.raw(result) for column in COLUMNS]
            writer.writerow([*cells, result.row.name, result.state, notes])


def write_markdown(suite: Suite, results: Sequence[RowResult], command: str, path: Path) -> None:
    """Write the table without empty columns, a legend and the notes."""
    with atomic_path(path) as temporary:
        temporary.write_text(markdown(suite, results, command), encoding="utf-8")


def markdown(suite: Suite, results: Sequence[RowResult], command: str) -> str:
    """Return the page that `write_markdown` writes."""
    columns = [
        column
        for column in COLUMNS
        if column.title not in _ONLY_CSV
        and (not column.optional or any(column.text(result) for result in results))
    ]
    rows = [[column.title for column in columns], ["---"] * len(columns)]
    rows += [[_cell(column.text(result)) for column in columns] for result in results]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    sections = [f"# {suite.name}", table, _legend(results, {c.title for c in columns})]
    notes = [
        f"- {result.row.name}: {_one_line(note)}" for result in results for note in _notes(result)
    ]
    notes += [f"- {method} is skipped: {why}" for method, why in suite.skipped.items()]
    if notes:
        sections.append("Notes\n\n" + "\n".join(notes))
    sections += [
        section(result.name, result.row.sweep, result.trials)
        for result in results
        if result.row.sweep is not None and result.trials
    ]
    sections.append(f"Made with\n\n```\n{command}\n```")
    return "\n\n".join(sections) + "\n"


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or _MISSING


def _notes(result: RowResult) -> list[str]:
    notes = []
    if result.state == "failed":
        notes.append(f"failed: {result.error} (see {result.row.name}/worker.log)")
    elif result.state != "finished":
        notes.append({"waiting": "not run yet"}.get(result.state, "not finished"))
    if (best := result.best) is not None:
        notes.append(
            f"{best.name} of {counts(result.trials)}, with {words(best.values)} (see "
            f"{result.row.name}/{TRIALS_FILE})"
        )
    return [*notes, *(result.measured.notes if result.measured is not None else ())]


def _errors(results: Sequence[RowResult]) -> list[str]:
    """Return what ± means, and whether the images are too few, for the least exact accuracy."""
    known = [
        (value, count)
        for result in results
        if result.measured is not None
        for name, count in result.measured.scores.images.items()
        if (value := getattr(result.measured.scores, name)) is not None
    ]
    if not known:
        return []
    few = too_few_images(*max(known, key=lambda pair: standard_error(*pair)))
    return ["± is the standard error, which does not contain the differences between seeds.", few]


def _legend(results: Sequence[RowResult], titles: set[str]) -> str:
    lines = ["Accuracies in percent.", *_errors(results)]
    neighbours = {result.row.knn_k for result in results} - {None}
    if "kNN Top 1" in titles:
        found = " or ".join(map(str, sorted(filter(None, neighbours))))
        k = f" with k = {found}" if found else ""
        lines.append(f"kNN Top 1: the last epoch's network, by weighted nearest neighbours{k}.")
    if "kNN Top 1, max over epochs" in titles:
        lines.append(
            "Max over epochs: the best measurement during training, as in published tables. "
            "It is chosen on the validation images, so it is a little too high."
        )
    if "kNN Top 1, untrained" in titles:
        lines.append("Untrained: the same network before the first step.")
    if "Runtime" in titles:
        lines.append("Runtime: the training, with the measurements during it.")
    if "GPU Memory" in titles:
        lines.append("GPU Memory: peak memory of the first process's tensors, in 10^9 bytes.")
    devices = sorted({result.device for result in results if result.device is not None})
    if devices:
        lines.append(f"Device: {', '.join(devices)}.")
    return " ".join(filter(None, lines))
