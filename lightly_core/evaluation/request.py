"""Checks of the settings of an evaluation that need no heavy import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.reading.references import misplaced_files
from lightly_core.data.check import data_problems
from lightly_core.places import place_problem


def evaluate_problems(config: EvaluateConfig) -> list[str]:
    """Return the problems of the settings, one text each, without reading images or weights."""
    problems = [f"config.data: {problem}" for problem in data_problems(config.data)]
    if config.val_data is not None:
        problems += [f"config.val_data: {problem}" for problem in data_problems(config.val_data)]
    problems += [*_labels_problems(config), *misplaced_files(config, "config")]
    problems += _search_problems(config)
    if not config.protocols:
        problems.append(
            "all protocols are off, so there is nothing to measure; switch on one of knn, linear, "
            "retrieval and finetune, for example knn=true"
        )
    if config.out is not None:
        problems += _out_problems(output_path(config.out), config.overwrite)
    return problems


def output_path(out: str) -> Path:
    """Return the absolute path of the file to write."""
    return Path(out).expanduser().absolute()


def _labels_problems(config: EvaluateConfig) -> list[str]:
    given = {"labels": config.labels, "val_labels": config.val_labels}
    problems = [
        f"config.{name}: there is no file '{file}'; expected a CSV with the columns image and label"
        for name, file in given.items()
        if file is not None and not Path(file).expanduser().is_file()
    ]
    if config.val_labels is not None and config.val_data is None:
        problems.append(
            "config.val_labels: got no val_data to which it applies; if all images are in one "
            "folder, give this folder as val_data, too"
        )
    return problems


def _search_problems(config: EvaluateConfig) -> list[str]:
    if importlib.util.find_spec("faiss") is not None:
        return []
    protocols = {"knn": config.knn, "retrieval": config.retrieval}
    return [
        f"config.{name}.search: faiss needs the package faiss-cpu, which is not installed"
        "\n  pip install faiss-cpu, or search=exact"
        for name, protocol in protocols.items()
        if protocol is not None and protocol.search == "faiss"
    ]


def _out_problems(out: Path, overwrite: bool) -> list[str]:
    if problem := place_problem(out):
        return [f"config.out: {problem}; choose another place"]
    if out.is_dir():
        return [f"config.out: '{out}' is a folder; expected the name of a JSON file"]
    if out.exists() and not overwrite:
        return [f"config.out: '{out}' exists; choose another name, or set overwrite=true"]
    return []
