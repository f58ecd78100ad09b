"""Checks of the settings of `lightly embed` that need no heavy import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.launch import find_launch
from lightly_core.config.reading.references import misplaced_files
from lightly_core.data.check import data_problems
from lightly_core.places import place_problem

#: File of a folder of features that says what they were computed from. Readers of Parquet ignore
#: files whose name starts with an underscore.
MANIFEST = "_manifest.json"

#: Formats whose names are escaped for spreadsheets.
CSV_FORMATS = ("csv", "lightly_csv")
_FORMATS = {".csv": "csv", ".pt": "torch", ".npz": "npz", ".parquet": "parquet"}


def output_path(config: EmbedConfig) -> Path:
    """Return the absolute path of the file or folder to write."""
    return Path(config.out).expanduser().absolute()


def output_format(config: EmbedConfig) -> str:
    """Return the format, never "auto"; "" if the ending is not known."""
    if config.format != "auto":
        return config.format
    if config.shard_size is not None:
        return "parquet"
    return _FORMATS.get(output_path(config).suffix.lower(), "")


def embed_problems(config: EmbedConfig) -> list[str]:
    """Return the problems of the settings, one text each, without reading or writing files."""
    one_file = config.shard_size is None
    problems = _out_problems(config) if one_file else _folder_problems(config)
    problems += [*_process_problems(config), *misplaced_files(config, "config")]
    if config.model is None and config.checkpoint is None:
        problems.append(
            "config.model: required; give a run folder, a file or a model's name, for example "
            "model=out/my_run"
        )
    file_format = output_format(config)
    if not file_format:
        problems.append(
            f"config.out: unknown ending of '{config.out}'; expected "
            f"{', '.join(_FORMATS)}, or format={' or format='.join(_FORMATS.values())}"
        )
    if file_format in CSV_FORMATS and config.features == "patch":
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
        return [
            f"config.out: expected a file, but '{path}' is a folder; for a folder of Parquet files "
            "set shard_size, such as shard_size=100000"
        ]
    if path.exists() and not config.overwrite:
        return [
            f"config.out: '{path}' exists already; choose another file, or set overwrite=true to "
            "replace it"
        ]
    return []


def _folder_problems(config: EmbedConfig) -> list[str]:
    path = output_path(config)
    problems = []
    if output_format(config) != "parquet":
        problems.append(
            f"config.format: got {config.format} with shard_size, but files of a folder are "
            "Parquet; remove format or shard_size"
        )
    if problem := place_problem(path):
        problems.append(f"config.out: {problem}; choose another place")
    elif path.is_file():
        problems.append(
            f"config.out: expected a folder with shard_size, but '{path}' is a file; choose "
            "another name"
        )
    elif path.is_dir() and not (path / MANIFEST).is_file() and any(path.iterdir()):
        problems.append(
            f"config.out: the folder '{path}' has files, but none of an earlier call ({MANIFEST}); "
            "choose a new folder"
        )
    return problems


def _process_problems(config: EmbedConfig) -> list[str]:
    if config.devices == 1:
        return []
    if config.shard_size is None:
        return [
            f"config.devices: got {config.devices}, but one file is written by one process; set "
            "shard_size for a folder of files, such as shard_size=100000"
        ]
    problems = []
    launch = find_launch()
    if launch is not None and config.devices not in ("auto", launch.local_size):
        problems.append(
            f"config.devices: got {config.devices}, but {launch.launcher} started "
            f"{launch.local_size} process(es) on this machine; remove the setting"
        )
    given = {"model": config.model, "data": config.data}
    problems += [
        f"config.devices: got {config.devices}, but the Python object of `{name}` cannot be passed "
        "to further processes; give its name, or start the script with torchrun"
        for name, value in given.items()
        if isinstance(value, PythonObject) and launch is None
    ]
    return problems
