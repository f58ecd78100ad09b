"""Reads the sweep of a row and checks every value of its space with the settings layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve

from lightly_core.benchmarking.expansion import Draft
from lightly_core.benchmarking.mistakes import Mistakes
from lightly_core.benchmarking.sweeps.proposal import INSTALL, has_optuna
from lightly_core.benchmarking.sweeps.space import (
    Choice,
    Parameter,
    Range,
    Space,
    Values,
    nested,
    read_space,
    shown,
)
from lightly_core.benchmarking.sweeps.sweep import Sweep
from lightly_core.config.auto.watching import larger_is_better
from lightly_core.config.options.settings import RunConfig
from lightly_core.config.options.suite import RowConfig
from lightly_core.config.options.sweep import DEFAULT_TRIALS, SweepArgs
from lightly_core.config.reading.merging import merge
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError

if TYPE_CHECKING:
    from lightly_core.benchmarking.suite import Row

#: Checks a draft, adds its mistakes, and returns the row if there are none.
Check = Callable[[Draft, Mistakes], "Row | None"]
Sampler = Literal["tpe", "random", "grid"]


def check_sweep(
    draft: Draft, above: Mapping[str, Any], check: Check, mistakes: Mistakes
) -> Row | None:
    """Check a row and its sweep, if it has one.

    Args:
        draft: The row.
        above: Settings of the run that override all rows.
        check: Checks a row without a sweep.
        mistakes: Where mistakes are added.

    Returns:
        The row, with the first values of its sweep; None if there are mistakes.
    """
    about = dict(draft.about)
    given = {"method": draft.method, "sweep": about.pop("sweep", None)}
    alone = evolve(draft, about=about)
    read = mistakes.collect(draft.name, lambda: structure(given, RowConfig, path="row"))
    if read is None or read.sweep is None:
        row = check(alone, mistakes)
        return row if read is not None else None
    args = read.sweep
    space, problems = read_space(args.space)
    problems += _set_above(space, above)
    if problems:
        mistakes.add(draft.name, problems)
        check(alone, mistakes)
        return None
    checked = _checked_space(alone, space, check, mistakes)
    if checked is not None:
        space, probes = checked
        problems += _size_problems(args, space)
    problems += _optuna_problem(_sampler(args, space))
    mistakes.add(draft.name, problems)
    if checked is None or problems:
        return None

    def make(name: str, values: Values) -> Row:
        found = Mistakes()
        row = check(evolve(_with(alone, values), name=name), found)
        if row is None or found.texts():
            raise ConfigError.of(found.texts())
        return row

    sampler = _sampler(args, space)
    return evolve(
        probes[0],
        sweep=Sweep(
            args=args,
            space=space,
            sampler=sampler,
            num_trials=_num_trials(args, sampler, space),
            maximize=larger_is_better(args.metric) if args.mode == "auto" else args.mode == "max",
            probes=probes,
            make=make,
        ),
    )


def _checked_space(
    draft: Draft, space: Space, check: Check, mistakes: Mistakes
) -> tuple[Space, tuple[Row, ...]] | None:
    """Check each value with the first values of the other settings.

    Returns:
        The space, with whole numbers where the setting takes no others, and the checked rows;
        None if there are mistakes.
    """
    found = Mistakes()
    base = check(_with(draft, space.first()), found)
    known = found.texts()
    mistakes.add(draft.name, known)
    rows = [base]
    for parameter, values in space.probes():
        found = Mistakes()
        rows.append(check(_with(draft, values), found))
        place = f"sweep.space.{parameter.name} = {shown(values[parameter.name])}"
        texts = [f"{place}: {text}" for text in found.texts() if text not in known]
        known += texts
        mistakes.add(draft.name, texts)
    if known:
        return None

    def typed(parameter: Parameter) -> Parameter:
        if isinstance(parameter, Choice) or not _may_be_whole(parameter):
            return parameter
        found = Mistakes()
        check(_with(draft, {**space.first(), parameter.name: parameter.low + 0.5}), found)
        return evolve(parameter, whole=bool(found.texts()))

    typed_space = Space(tuple(typed(parameter) for parameter in space.parameters))
    return typed_space, tuple(row for row in rows if row is not None)


def _may_be_whole(parameter: Range) -> bool:
    """Return whether only the setting's type can say which numbers are between the ends."""
    ends = (parameter.low, parameter.high)
    return parameter.step is None and all(isinstance(end, int) for end in ends)


def _with(draft: Draft, values: Values) -> Draft:
    run = merge(draft.run, nested(values), RunConfig)
    return evolve(draft, run=run, swept=tuple(values))


def _sampler(args: SweepArgs, space: Space) -> Sampler:
    if args.sampler != "auto":
        return args.sampler
    lists = all(isinstance(parameter, Choice) for parameter in space.parameters)
    return "grid" if lists else "tpe"


def _num_trials(args: SweepArgs, sampler: Sampler, space: Space) -> int:
    if args.trials != "auto":
        return args.trials
    size = space.size()
    if size is None:
        return DEFAULT_TRIALS
    return size if sampler == "grid" else min(size, DEFAULT_TRIALS)


def _set_above(space: Space, above: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings of the space that the command line sets for all rows."""
    for parameter in space.parameters:
        value: object = above
        for part in parameter.name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            yield (
                f"sweep.space.{parameter.name}: run.{parameter.name} sets one value for all rows; "
                "remove one of the two"
            )


def _size_problems(args: SweepArgs, space: Space) -> Iterator[str]:
    sampler, size = _sampler(args, space), space.size()
    if sampler == "grid" and size is None:
        for parameter in space.parameters:
            if parameter.listed() is None:
                yield (
                    f"sweep.space.{parameter.name}: a grid needs a list of values or a range with "
                    "a step"
                )
    if isinstance(args.trials, int) and size is not None and args.trials > size:
        yield (
            f"sweep.trials: the space has {size} combinations, got {args.trials} trials; give at "
            f"most {size}"
        )


def _optuna_problem(sampler: Sampler) -> Iterator[str]:
    if sampler != "grid" and not has_optuna():
        yield (
            f"sweep.sampler: '{sampler}' needs Optuna, which is not installed: {INSTALL}; or give "
            'lists of values and sampler = "grid", which need nothing'
        )
