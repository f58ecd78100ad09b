"""The functions of `import lightly_core`. They check settings before importing anything heavy."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lightly_core.config.docs.pages import signature_of
from lightly_core.config.options.doctor import DoctorConfig
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.export import ExportConfig
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.reading.child import refuse_in_child
from lightly_core.errors import RunInterrupted
from lightly_core.listing import list_formats, list_methods, list_models, list_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from lightly_core.benchmarking.results import RowResult
    from lightly_core.config.docs.signature import (
        DoctorSettings,
        EmbedSettings,
        EvaluateSettings,
        ExportSettings,
        RunSettings,
    )
    from lightly_core.config.options.runs import RunState, SortKey
    from lightly_core.converting.result import ExportResult
    from lightly_core.diagnosing.report import DoctorReport
    from lightly_core.embedding.result import EmbedResult
    from lightly_core.engine.dry_run import Form
    from lightly_core.engine.result import RunResult
    from lightly_core.evaluation.results import EvaluationResult
    from lightly_core.registry.entry import RunEntry
    from lightly_core.reporting.page import Report

__all__ = [
    "DoctorReport",
    "EmbedResult",
    "EvaluationResult",
    "ExportResult",
    "RowResult",
    "RunResult",
    "benchmark",
    "doctor",
    "embed",
    "evaluate",
    "export",
    "list_formats",
    "list_methods",
    "list_models",
    "list_plugins",
    "list_runs",
    "pretrain",
    "report",
    "run",
    "train",
]


def pretrain(**settings: Unpack[RunSettings]) -> RunResult:
    """Pretrain a backbone on unlabelled images.

    Every argument is a setting of `docs/settings.md`. `out`, `data` and `model` are required.
    Call it below ``if __name__ == "__main__":``, since loader workers may import the script again.
    A call in a child process of multiprocessing is refused unless ``LIGHTLY_ALLOW_CHILD=1`` is in
    the environment (see docs/several-devices.md).

    Returns:
        Folder, metrics and exported files of the run.

    Raises:
        ConfigError: Settings are wrong. The error names all mistakes, and nothing was written. Or
            this is a child process, or another run uses `out`.
        PluginError: A required plugin cannot be used.
        DataError: The images cannot be used.
        RunError: Training cannot continue.
        RunInterrupted: Ctrl-C, SIGTERM or another signal stopped the run, after
            `checkpoints/last.ckpt` was written. If not caught, it ends the program with code 130.
    """
    from lightly_core.engine import entry

    refuse_in_child("pretrain")
    checked, plugins = entry.load(arguments=settings)
    try:
        return entry.execute(checked, plugins)
    except RunInterrupted as error:
        print(error, file=sys.stderr)  # a script that does not catch it would end silently
        raise


run = pretrain


def train(**settings: Unpack[RunSettings]) -> RunResult:
    """Deprecated name of `pretrain`."""
    warnings.warn("train() is deprecated, use lightly_core.pretrain()", FutureWarning, stacklevel=2)
    return pretrain(**settings)


def pretrain_from_command_line(
    config_file: str | None,
    pairs: Sequence[str],
    *,
    dry_run: Form | None = None,
    build: bool = False,
) -> None:
    """Run `lightly run`, or with `dry_run` its checks. It raises the errors of `pretrain`.

    Args:
        config_file: TOML file with settings.
        pairs: Settings as ``key=value``.
        dry_run: Only check the settings, and print what the run will do in this form; None: run.
        build: Whether a dry run builds the networks in any case.
    """
    from lightly_core.engine import entry

    refuse_in_child("pretrain")
    settings, plugins = entry.load(config_file=config_file, pairs=pairs)
    if dry_run is not None:
        entry.rehearse(settings, plugins, build=build, form=dry_run)
    else:
        entry.execute(settings, plugins)


def embed(**settings: Unpack[EmbedSettings]) -> EmbedResult:
    """Write the features of images to a CSV, torch, npz or Parquet file, or to a folder of files.

    Every argument is a setting of `docs/settings.md`. `model`, `data` and `out` are required. With
    `shard_size`, `out` is a folder, and a call continues an earlier one, see `docs/embedding.md`.

    Returns:
        The file or folder, and a description of its content.

    Raises:
        ConfigError: Settings are wrong, the network cannot be built, or the folder has features of
            other settings, weights or images; nothing was written.
        PluginError: The plugin that provides the model cannot be used.
        DataError: There are no images, or too many that cannot be read; no file was written, or in
            a folder complete files only.
        RunError: The file cannot be written.
    """
    refuse_in_child("embed")
    from lightly_core.embedding.command import embed_with

    return embed_with(arguments=settings)


def evaluate(**settings: Unpack[EvaluateSettings]) -> EvaluationResult:
    """Measure the features of a network on labelled images.

    Every argument is a setting of `docs/settings.md`. `model` and `data` are required.
    `docs/evaluating.md` explains the protocols.

    Returns:
        One result for each protocol; ``evaluate(...).top1("knn", k=20)`` is an accuracy.

    Raises:
        ConfigError: Settings are wrong, or the network cannot be built; nothing was written.
        PluginError: The plugin that provides the model cannot be used.
        DataError: There are no images, no labels, or they do not fit together.
        RunError: Features or a loss are nan or infinite.
    """
    return _evaluate(arguments=settings)


def evaluate_from_command_line(config_file: str | None, pairs: Sequence[str]) -> None:
    """Run `lightly evaluate` and print the results. It raises the errors of `evaluate`."""
    result = _evaluate(config_file=config_file, pairs=pairs)
    from lightly_core.evaluation.results import print_results

    print_results(result.results)
    if result.out is not None:
        print(f"written to {result.out}")


def _evaluate(
    *,
    config_file: str | None = None,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> EvaluationResult:
    refuse_in_child("evaluate")
    from lightly_core.config.reading.command import loaded_options
    from lightly_core.evaluation.request import evaluate_problems
    from lightly_core.plugins.discovery import get_plugins

    plugins = get_plugins()
    with loaded_options(
        EvaluateConfig,
        config_file=config_file,
        pairs=pairs,
        arguments=arguments,
        checks=(evaluate_problems,),
    ) as config:
        from lightly_core.engine.logs import RunLogs
        from lightly_core.engine.stops import like_ctrl_c
        from lightly_core.evaluation.run import evaluate_network
        from lightly_core.failures import explained

        with RunLogs(True, plugins.catalog.packages()), explained(), like_ctrl_c():
            return evaluate_network(config, plugins.catalog)


def doctor(**settings: Unpack[DoctorSettings]) -> DoctorReport:
    """Check the installation and the machine, and measure how fast images are read.

    Every argument is a setting of `docs/settings.md`, and none is required. docs/doctor.md explains
    the report. Nothing is written.

    Returns:
        The report. `print` shows it as text, and a notebook as tables.

    Raises:
        ConfigError: Settings are wrong, or the network cannot be built.
        PluginError: A required plugin cannot be used.
        DataError: There are no images.
    """
    refuse_in_child("doctor")
    from lightly_core.diagnosing.command import doctor_with

    return doctor_with(arguments=settings)


def export(**settings: Unpack[ExportSettings]) -> ExportResult:
    """Write a network in the format of another tool, and compare the file with the network.

    Every argument is a setting of `docs/settings.md`. `out`, and `model` or `checkpoint`, are
    required. `docs/exporting.md` explains parts and formats.

    Returns:
        The files, their largest difference from the network, and the code that loads them.

    Raises:
        ConfigError: Settings are wrong, the network cannot be built, or the format cannot hold it;
            nothing was written.
        PluginError: The plugin that provides the model or the format cannot be used.
        RunError: The file cannot be written, or computes something else than the network.
    """
    refuse_in_child("export")
    from lightly_core.converting.command import export_with

    return export_with(arguments=settings)


def benchmark(
    suite: str | Path,
    *,
    out: str | Path | None = None,
    only: str | Sequence[str] | None = None,
    overwrite: bool | None = None,
    data: Mapping[str, object] | None = None,
    run: Mapping[str, object] | None = None,
    evaluate: Mapping[str, object] | bool | None = None,
    launcher: str | None = None,
    launcher_args: Mapping[str, object] | None = None,
) -> list[RowResult]:
    """Pretrain and evaluate every row of a suite, and write a table and a plot.

    Arguments that are not None override the file. `run` and `evaluate` also override the settings
    of single rows. Finished rows are kept, and an interrupted row is resumed.

    Args:
        suite: A TOML file, see docs/benchmark-suites.md.
        out: Folder for rows, tables and plot.
        only: Rows to run, by name or method.
        overwrite: Whether to run rows again whose settings have changed since they were run.
        data: ``train`` and ``val``.
        run: Settings of `pretrain`.
        evaluate: Settings of `evaluate`; False: rows are only pretrained.
        launcher: What runs the rows: ``local``, or that of a plugin.
        launcher_args: Options of the launcher.

    Returns:
        The result of each row of the suite. A row that fails does not stop the others, and no
        error is raised.

    Raises:
        ConfigError: Settings are wrong. The error names the mistakes of all rows, and nothing was
            run.
        RunError: Another process runs the same suite.
        RunInterrupted: Ctrl-C or SIGTERM stopped the suite, after the rows had saved.
    """
    given: dict[str, object] = {
        "out": out,
        "only": only,
        "overwrite": overwrite,
        "data": data,
        "run": run,
        "evaluate": evaluate,
        "launcher": launcher,
        "launcher_args": launcher_args,
    }
    given = {name: value for name, value in given.items() if value is not None}
    shown = "".join(f", {name}={value!r}" for name, value in given.items())
    from lightly_core.benchmarking.command import benchmark_suite

    return benchmark_suite(
        suite,
        arguments=given,
        command=f"lightly_core.benchmark({str(suite)!r}{shown})",
        say=print,
    )


def benchmark_from_command_line(
    suite: str, pairs: Sequence[str], *, command: str
) -> list[RowResult]:
    """Run `lightly benchmark`. It returns the results and raises the errors of `benchmark`."""
    from lightly_core.benchmarking.command import benchmark_suite

    return benchmark_suite(suite, pairs=pairs, command=command, say=print)


def report(*runs: str | Path, out: str | Path | None = None) -> Report:
    """Write a page about one run, or about several side by side.

    Args:
        runs: Run folders. They may be of different methods, models and versions.
        out: The HTML file; None: `report.html` in the run folder, or for several runs in the
            current folder.

    Returns:
        The file; a notebook shows its content.

    Raises:
        ConfigError: A folder is no run folder, or `out` cannot be written; nothing was written.
    """
    from lightly_core.reporting.command import report_runs

    return report_runs(runs, out)


def list_runs(
    folder: str | Path = ".",
    *,
    sort: SortKey = "started",
    reverse: bool = False,
    state: RunState | None = None,
    method: str | None = None,
) -> list[RunEntry]:
    """Return the runs below a folder, at any depth, and the rows of suites.

    Only the files of the runs are read, so runs of other machines and of older versions are listed
    too. A folder that is damaged is listed with the reason. docs/runs.md explains the states.

    Args:
        folder: The folder.
        sort: ``started`` or ``age`` (the newest first), ``updated``, ``name``, ``state``,
            ``method``, ``model``, ``data``, ``epochs``, ``knn``, ``gain`` or ``size``. Times begin
            with the newest, accuracies and sizes with the largest. Runs without a value come last.
        reverse: Whether the order is reversed.
        state: Return only runs in this state: ``running``, ``finished``, ``interrupted``,
            ``failed``, ``waiting`` or ``unknown``.
        method: Return only runs of this method.

    Raises:
        ConfigError: There is no such folder, it cannot be read, or an argument is wrong.
    """
    from lightly_core.registry.listing import listed_runs

    return listed_runs(
        folder,
        arguments={"sort": sort, "reverse": reverse, "state": state, "method": method},
    )


#: Modules of the result classes, which are imported when they are first used.
_RESULTS = {
    "DoctorReport": "lightly_core.diagnosing.report",
    "EmbedResult": "lightly_core.embedding.result",
    "EvaluationResult": "lightly_core.evaluation.results",
    "ExportResult": "lightly_core.converting.result",
    "RowResult": "lightly_core.benchmarking.results",
    "RunResult": "lightly_core.engine.result",
}


def __getattr__(name: str) -> object:
    """Import a result class when it is first used."""
    home = _RESULTS.get(name)
    if home is None:
        raise AttributeError(f"module 'lightly_core.api' has no attribute '{name}'")
    return getattr(importlib.import_module(home), name)


for _function in (pretrain, train):
    _function.__signature__ = signature_of(RunConfig)  # type: ignore[attr-defined]
doctor.__signature__ = signature_of(DoctorConfig)  # type: ignore[attr-defined]
embed.__signature__ = signature_of(EmbedConfig)  # type: ignore[attr-defined]
export.__signature__ = signature_of(ExportConfig)  # type: ignore[attr-defined]
evaluate.__signature__ = signature_of(EvaluateConfig)  # type: ignore[attr-defined]
