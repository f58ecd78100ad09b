"""Read a suite and check its rows. All mistakes of all rows are reported before one starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, evolve

from lightly_core.benchmarking.expansion import Draft, expand, unused
from lightly_core.benchmarking.launching import LauncherChoice, choose_launcher
from lightly_core.benchmarking.mistakes import Mistakes
from lightly_core.benchmarking.placeholder import OUT, filled, rows_named
from lightly_core.benchmarking.sweeps.reading import check_sweep
from lightly_core.config.options.evaluate import EvaluateConfig
from lightly_core.config.options.fields import plain
from lightly_core.config.options.settings import PythonObject
from lightly_core.config.options.suite import Published, RowConfig, SuiteConfig
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.config.reading.load import Settings, load_settings
from lightly_core.config.reading.merging import Layers, from_python, merge
from lightly_core.config.reading.structure import structure
from lightly_core.data.check import check_data, data_problems
from lightly_core.errors import ConfigError, did_you_mean
from lightly_core.places import place_problem
from lightly_core.plugins.catalog import Catalog

if TYPE_CHECKING:
    from lightly_core.benchmarking.sweeps.sweep import Sweep

#: Settings of a run that the suite sets itself, and what to set instead.
_RUN_OWNED = {
    "method": "the rows",
    "out": "the suite's 'out'",
    "overwrite": "the suite's 'overwrite'",
    "resume": "the state of the row: an interrupted row resumes automatically",
    "resume_interrupted": "the state of the row: an interrupted row resumes automatically",
}
#: Settings of an evaluation that follow from the row.
_EVALUATE_OWNED = ("model", "checkpoint", "model_args", "data", "val_data", "out", "overwrite")
#: Settings that a row's evaluation shares with its training where it names none.
_SHARED = ("accelerator", "num_workers")


@define(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Attributes:
        name: Folder of the row below that of the suite.
        label: Its name in the table.
        method: Name of the method, as the suite gave it.
        published: Published results of the method.
        run: Settings of the run as given, plain data without `out`.
        evaluate: Settings of the evaluation as given, without those that follow from the row;
            None: the row is not evaluated.
        knn_k: Neighbours of the kNN accuracy that the table shows; None: no kNN is evaluated.
        settings: The checked settings of the run.
        needs: Names of earlier rows whose files its settings name.
        sweep: The search over its settings, whose first values the row has; None: one run.
    """

    name: str
    label: str
    method: str
    published: Published | None
    run: dict[str, Any]
    evaluate: dict[str, Any] | None
    knn_k: int | None
    settings: Settings = attrs.field(repr=False, eq=False)
    needs: tuple[str, ...] = ()
    sweep: Sweep | None = None

    @property
    def model(self) -> str:
        """Name of the backbone."""
        return str(self.settings.run.model)

    @property
    def variants(self) -> tuple[Row, ...]:
        """The row, or for a sweep the row with each value that was checked."""
        return (self,) if self.sweep is None else self.sweep.probes


@define(frozen=True, kw_only=True)
class Suite:
    """A checked suite.

    Attributes:
        name: Its name.
        folder: Where everything is written.
        rows: All rows, in the order of the table.
        chosen: Names of the rows that are to be run.
        skipped: Methods that the suite skips, with the reason.
        overwrite: Whether rows whose settings have changed are run again.
        launcher: What runs the rows.
        unused: Methods that the file has settings for, but no row.
    """

    name: str
    folder: Path
    rows: tuple[Row, ...]
    chosen: frozenset[str]
    skipped: dict[str, str]
    overwrite: bool
    launcher: LauncherChoice
    unused: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before the rows start."""
        notes = [f"{method} is skipped: {why}" for method, why in self.skipped.items()]
        if self.unused:
            names = ", ".join(self.unused)
            notes.append(f"settings without a row, of methods not installed or misspelt: {names}")
        return tuple(notes)


def load_suite(
    *,
    catalog: Catalog,
    suite: str | Path,
    pairs: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
    check_paths: bool = True,
) -> Suite:
    """Read a suite and check all its rows.

    `pairs` and `arguments` take precedence over the file. `run` and `evaluate` in them also take
    precedence over the settings of a row.

    Args:
        catalog: What the plugins provide.
        suite: The TOML file; paths in it are relative to the working directory.
        pairs: Words of the form ``key=value``.
        arguments: Python arguments; only those that the caller gave.
        check_paths: Whether images and labels have to exist.

    Raises:
        ConfigError: All that is wrong, one entry of `problems` for each mistake.
    """
    above = merge(parse_pairs(pairs), from_python(arguments or {}), SuiteConfig)
    layers = Layers(str(suite), pairs, arguments)
    with layers.named_in_errors():
        config = structure(layers.merged(SuiteConfig), SuiteConfig, path="suite")
    drafts, problems = expand(config, catalog)
    launcher = choose_launcher(config, catalog, problems)
    if check_paths:
        problems += _image_problems(config)
        if problem := place_problem(Path(config.folder).expanduser().absolute()):
            problems.append(f"suite.out: {problem}; choose another folder")
    if not drafts and not problems:
        problems.append(
            'suite.rows: there is no row; add [[rows]] with a method, or methods = "all"'
        )
    chosen = frozenset(_choose(config.chosen, drafts, problems))
    mistakes, ignored = Mistakes(), Mistakes()
    rows = []
    above_run = _mapping(above.get("run"))
    for number, draft in enumerate(drafts):
        # A row that is not to be run is in the table if its settings are right.
        found = mistakes if draft.name in chosen else ignored
        earlier = [other.name for other in drafts[:number]]
        check = partial(_check, config, above, catalog, check_paths, earlier, layers)
        row = check_sweep(draft, above_run, check, found)
        if row is not None:
            rows.append(row)
    problems += mistakes.lines(len(chosen))
    if problems or launcher is None:
        raise ConfigError.of(layers.located(problems))
    return Suite(
        name=config.name,
        folder=Path(config.folder).expanduser(),
        rows=tuple(rows),
        chosen=chosen,
        skipped=dict(config.skip) if config.methods == "all" else {},
        overwrite=config.overwrite,
        launcher=launcher,
        unused=tuple(unused(config, drafts)),
    )


# --------------------------------------------------------------------------- one row


def _check(
    config: SuiteConfig,
    above: Mapping[str, Any],
    catalog: Catalog,
    check_paths: bool,
    earlier: Sequence[str],
    layers: Layers,
    draft: Draft,
    mistakes: Mistakes,
) -> Row | None:
    row = mistakes.collect(draft.name, lambda: structure(draft.about, RowConfig, path="row"))
    if row is None:
        return None
    given = merge(draft.run, _mapping(above.get("run")))
    mistakes.add(draft.name, list(_owned(given, _RUN_OWNED)))
    # Mistakes in the suite's images are reported once for all rows, not here.
    own_images = bool({"data", "val_data"} & given.keys())
    look = check_paths and (own_images or not _image_problems(config))
    given = {**_images(config), **given, "method": row.method}
    folder = str(Path(config.folder).expanduser())
    evaluate = _evaluation(row, config, above)
    found = _read_evaluation(draft.name, evaluate, given, mistakes, check_paths)
    needs = rows_named([given, evaluate], earlier)
    # Files of an earlier row do not exist yet. They are checked when this row starts.
    waits = filled(given, folder) != filled(given, OUT)
    given = _with_same_neighbours(filled(given, folder), found)
    settings = mistakes.collect(
        draft.name,
        lambda: load_settings(
            catalog=catalog,
            arguments={**_not_owned(given), "out": f"{folder}/{draft.name}/run"},
            checks=(check_data,) if look else (),
            check_files=check_paths and not waits,
        ),
        partial(_located, layers, draft),
    )
    mistakes.add(draft.name, list(_objects(given)))
    if settings is None:
        return None
    return Row(
        name=draft.name,
        label=row.label or row.method,
        method=row.method,
        published=Published.read(row.reference),
        run=given,
        evaluate=filled(evaluate, folder) if found is not None else None,
        knn_k=_first_k(found),
        settings=settings,
        needs=needs,
    )


def _located(layers: Layers, draft: Draft, problems: Sequence[str]) -> list[str]:
    """Name in each mistake where the suite has the setting, unless it is that of a sweep."""
    swept = tuple(f"config.{name}" for name in draft.swept)
    return [
        problem if problem.startswith(swept) else layers.located([problem], draft.groups)[0]
        for problem in problems
    ]


def _image_problems(config: SuiteConfig) -> list[str]:
    images = {"train": config.data.train, "val": config.data.val}
    return [
        f"suite.data.{name}: {problem}"
        for name, data in images.items()
        if data is not None
        for problem in data_problems(data)
    ]


def _images(config: SuiteConfig) -> dict[str, Any]:
    images: dict[str, Any] = {"data": config.data.train}
    if config.data.val is not None:
        images["val_data"] = config.data.val
    return images


def _evaluation(
    row: RowConfig, config: SuiteConfig, above: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Merge the settings of the evaluation. None: there is no evaluation."""
    if row.evaluate is False or config.evaluate is False:
        return None
    below = _mapping(config.evaluate)
    given = merge(below, _mapping(row.evaluate), EvaluateConfig)
    return merge(given, _mapping(above.get("evaluate")), EvaluateConfig)


def _read_evaluation(
    name: str,
    given: dict[str, Any] | None,
    run: Mapping[str, Any],
    mistakes: Mistakes,
    check_paths: bool,
) -> EvaluateConfig | None:
    """Check the settings of the evaluation and add those that it shares with the training."""
    if given is None:
        return None
    mistakes.add(
        name, list(_owned(given, dict.fromkeys(_EVALUATE_OWNED, "the row's own settings")))
    )
    mistakes.add(name, list(_objects(given)))
    for key in _SHARED:
        if key in run:
            given.setdefault(key, run[key])
    images = {key: run[key] for key in ("data", "val_data") if key in run}
    options = mistakes.collect(
        name,
        lambda: structure(
            {
                **{k: v for k, v in given.items() if k not in _EVALUATE_OWNED},
                **images,
                "model": "m",
            },
            EvaluateConfig,
            path="evaluate",
        ),
    )
    if options is None:
        return None
    from lightly_core.evaluation.request import evaluate_problems

    # Missing images are reported once, for `data`.
    texts = evaluate_problems(evolve(options, data="builtin:digits", val_data=options.val_data))
    ignored: tuple[str, ...] = ("config.data:", "config.val_data:")
    if not check_paths:
        ignored += ("config.labels:", "config.val_labels:")
    mistakes.add(
        name,
        [text.replace("config.", "evaluate.") for text in texts if not text.startswith(ignored)],
    )
    return options


def _with_same_neighbours(run: dict[str, Any], evaluation: EvaluateConfig | None) -> dict[str, Any]:
    """Use the evaluation's neighbours for the kNN during training, where the row sets none."""
    if evaluation is None or evaluation.knn is None:
        return run
    callbacks = run.get("callbacks") or {}
    knn = callbacks.get("knn", {}) if isinstance(callbacks, Mapping) else None
    if not isinstance(knn, Mapping):
        return run  # switched off, or a mistake that is reported elsewhere
    same = {"k": _first_k(evaluation), "temperature": evaluation.knn.temperature}
    return {**run, "callbacks": {**callbacks, "knn": {**same, **knn}}}


def _first_k(evaluation: EvaluateConfig | None) -> int | None:
    if evaluation is None or evaluation.knn is None:
        return None
    k = evaluation.knn.k
    return k[0] if isinstance(k, tuple) else k


def _not_owned(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: v for key, v in given.items() if key == "method" or key not in _RUN_OWNED}


def _owned(given: Mapping[str, Any], owned: Mapping[str, str]) -> Iterator[str]:
    for key, instead in owned.items():
        if key in given:
            yield f"'{key}' cannot be set here, it follows from {instead}; remove it"


def _objects(given: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings that cannot be passed to another process."""
    for key, value in given.items():
        if isinstance(value, PythonObject) or plain(value) != _as_lists(value):
            yield f"{key}: a suite takes plain data only, since each row runs in its own process"


def _as_lists(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _as_lists(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_lists(member) for member in value]
    return value


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _choose(words: Sequence[str], drafts: Sequence[Draft], problems: list[str]) -> Iterator[str]:
    """Yield the names of the rows that `only` selects."""
    if not words:
        yield from (draft.name for draft in drafts)
    known = dict.fromkeys(name for draft in drafts for name in (draft.name, draft.method))
    for word in words:
        if word not in known:
            meant = did_you_mean(word, known)
            hint = f", {meant}" if meant else f"; there are: {', '.join(known)}"
            problems.append(f"suite.only: no row is called '{word}'{hint}")
        yield from (draft.name for draft in drafts if word in (draft.name, draft.method))
