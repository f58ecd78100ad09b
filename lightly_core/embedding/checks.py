"""Checks of the settings of `lightly embed` that need no heavy import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.references import misplaced_files
from lightly_core.data.check import data_problems
from lightly_core.places import place_problem

_FORMATS = {".csv": "csv", ".pt": "torch", ".npz": "npz", ".parquet": "parquet"}


def output_path(config: EmbedConfig) -> Path:
    """Return the absolute path of the file to write."""
    return Path(config.out).expanduser().absolute()


def output_format(config: EmbedConfig) -> str:
    """Return ``csv``, ``torch``, ``npz`` or ``parquet``; "" if the ending is not known."""
    if config.format != "auto":
        return config.format
    return _FORMATS.get(output_path(config).suffix.lower(), "")


def embed_problems(config: EmbedConfig) -> list[str]:
    """Return the problems of the settings, one text each, without reading or writing files."""
    problems = [*_out_problems(config), *misplaced_files(config, "config")]
    file_format = output_format(config)
    if not file_format:
        problems.append(
            f"config.out: unknown ending of '{config.out}'; expected "
            f"{', '.join(_FORMATS)}, or format={' or format='.join(_FORMATS.values())}"
        )
    if file_format == "csv" and config.features == "patch":
        problems.append(
            "config.features: got patch with a CSV file, which would have many thousand columns; "
            "write to a .npz, .pt or .parquet file"
        )
    if file_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        problems.append(
            "config.format: parquet needs the package pyarrow, which is not installed"
            "\n  pip install pyarrow"
        )
    return problems + [f"config.data: {problem}" for problem in data_problems(config.data)]


def _out_problems(config: EmbedConfig) -> list[str]:
    path = output_path(config)
    if problem := place_problem(path):
        return [f"config.out: {problem}; choose another place"]
    if path.is_dir():
        return [f"config.out: expected a file, but '{path}' is a folder"]
    if path.exists() and not config.overwrite:
        return [
            f"config.out: '{path}' exists already; choose another file, or set overwrite=true to "
            "replace it"
        ]
    return []
