"""Checks of the settings of `lightly export` that need no heavy import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lightly_core.config.options.export import ExportConfig
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.reading.references import misplaced_files
from lightly_core.errors import ConfigError, LightlyError
from lightly_core.places import place_problem
from lightly_core.plugins.catalog import CORE, Catalog
from lightly_core.plugins.loading import missing_requirements
from lightly_core.plugins.records import FormatRecord

#: The format of an ending that several formats have.
_PREFERRED = ("package_default", "huggingface")


def export_checks(catalog: Catalog) -> Callable[[ExportConfig], list[str]]:
    """Return a function that lists the problems of the settings, one text each.

    Args:
        catalog: Names of the installed plugins.
    """

    def problems(config: ExportConfig) -> list[str]:
        found = _source_problems(config)
        try:
            record = export_format(config, catalog)
        except LightlyError as error:
            return [*found, f"config.format: {error}", *_place_problems(config, None)]
        found += _format_problems(config, record, catalog)
        return [*found, *_place_problems(config, record)]

    return problems


def output_path(config: ExportConfig) -> Path:
    """Return the absolute path of the file or folder to write."""
    return Path(config.out).expanduser().absolute()


def export_format(config: ExportConfig, catalog: Catalog) -> FormatRecord:
    """Return the format of the settings, or of the ending of `out`.

    Raises:
        ConfigError: There is no such format, or none for the ending.
        PluginError: Several plugins provide the format.
    """
    if config.format != "auto":
        return catalog.get("format", config.format)
    suffix = output_path(config).suffix.lower()
    records = [record for record in catalog.records("format") if _writes(record, suffix)]
    for name in _PREFERRED:
        for record in records:
            if record.name == name and record.distribution == CORE:
                return record
    if len(records) == 1:
        return records[0]
    if records:
        names = " or ".join(f"format={catalog.usable_name(record)}" for record in records)
        raise ConfigError(f"several formats have the ending '{suffix}'; set {names}")
    endings = sorted({s for record in catalog.records("format") for s in record.suffixes})
    raise ConfigError(
        f"no format has the ending '{suffix}' of '{config.out}'; set format to a name of "
        f"`lightly formats`, or use one of the endings {', '.join(endings)}, or none for a folder"
    )


def exported_part(config: ExportConfig, record: FormatRecord) -> str:
    """Return the part to write."""
    return record.parts[0] if config.part == "auto" else config.part


def _writes(record: FormatRecord, suffix: str) -> bool:
    return suffix in record.suffixes if suffix else record.is_folder


def _source_problems(config: ExportConfig) -> list[str]:
    problems = list(misplaced_files(config, "config"))
    if config.model is None and config.checkpoint is None:
        problems.append(
            "config.model: required; give a run folder, a file or a model's name, for example "
            "model=out/my_run"
        )
    is_folder = isinstance(config.model, str) and Path(config.model).expanduser().is_dir()
    if config.best and not is_folder:
        given = "a Python object" if isinstance(config.model, PythonObject) else config.model
        problems.append(
            f"config.best: only a run folder has best weights, got model={given}; remove best"
        )
    return problems


def _format_problems(config: ExportConfig, record: FormatRecord, catalog: Catalog) -> list[str]:
    problems = []
    if config.part not in ("auto", *record.parts):
        others = [one.name for one in catalog.records("format") if config.part in one.parts]
        problems.append(
            f"config.part: {record.label} holds {' or '.join(record.parts)}, got {config.part}; "
            f"formats that hold it: {', '.join(dict.fromkeys(others))}"
        )
    if lacking := missing_requirements(record):
        install = " ".join(f"'{requirement}'" for requirement in lacking)
        problems.append(
            f"config.format: {record.label} needs {' and '.join(lacking)}, not installed"
            f"\n  pip install {install}"
        )
    return problems


def _place_problems(config: ExportConfig, record: FormatRecord | None) -> Sequence[str]:
    path = output_path(config)
    if problem := place_problem(path):
        return [f"config.out: {problem}; choose another place"]
    if record is None:
        return []
    if record.is_folder:
        return _folder_problems(config, record, path)
    if path.is_dir():
        example = path / f"model{record.suffixes[0]}"
        return [f"config.out: '{path}' is a folder, expected a file; for example out={example}"]
    if path.suffix.lower() not in record.suffixes:
        return [
            f"config.out: files of {record.label} end in {' or '.join(record.suffixes)}, got "
            f"'{config.out}'; for example out={path.with_suffix(record.suffixes[0]).name}"
        ]
    if path.exists() and not config.overwrite:
        return [
            f"config.out: '{path}' exists already; choose another file, or set overwrite=true to "
            "replace it"
        ]
    return []


def _folder_problems(config: ExportConfig, record: FormatRecord, path: Path) -> Sequence[str]:
    if path.is_file():
        return [f"config.out: {record.label} is a folder, but '{path}' is a file"]
    if path.is_dir() and any(path.iterdir()) and not config.overwrite:
        return [
            f"config.out: the folder '{path}' is not empty; choose another one, or set "
            "overwrite=true to replace an export in it"
        ]
    return []
