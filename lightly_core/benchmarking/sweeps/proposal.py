"""Chooses the values of the next trial: by a grid, or by Optuna from the results so far.

Nothing is kept between two calls. The study is built again from the trials each time, and the
sampler is seeded with the number of the trial. A sweep that goes on after an interruption therefore
proposes what it would have proposed without one.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightly_core.benchmarking.sweeps.space import Choice, Parameter, Space, Values, shown
from lightly_core.benchmarking.sweeps.trial import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

#: How to install Optuna.
INSTALL = "pip install 'lightly-core[optuna]'"

#: Other seeds that are tried where a proposal repeats an earlier trial.
_ATTEMPTS = 10


def has_optuna() -> bool:
    """Return whether Optuna is installed, without importing it."""
    return importlib.util.find_spec("optuna") is not None


def propose(
    space: Space, sampler: str, seed: int, trials: Sequence[Trial], number: int, *, maximize: bool
) -> Values:
    """Return the values of a trial.

    Args:
        space: The settings and their values.
        sampler: ``tpe`` or ``random``.
        seed: Seed of the sweep.
        trials: The other trials. Failed ones count as the worst.
        number: Number of the trial.
        maximize: Whether larger values of the metric are better.
    """
    import optuna

    distributions = {parameter.name: _distribution(parameter) for parameter in space.parameters}
    known = [repr(trial.values) for trial in trials]
    values: Values = {}
    for attempt in range(_ATTEMPTS):
        drawn = random.Random(f"{seed}/{number}/{attempt}").getrandbits(32)
        with _quiet():
            study = optuna.create_study(
                sampler=_sampler(sampler, drawn), direction="maximize" if maximize else "minimize"
            )
            study.add_trials([_frozen(trial, space, distributions) for trial in trials])
            asked = study.ask(distributions)
        values = {
            parameter.name: _decoded(parameter, asked.params[parameter.name])
            for parameter in space.parameters
        }
        if repr(values) not in known:
            break
    return values


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off Optuna's messages about every study."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    return RandomSampler(seed=seed) if name == "random" else TPESampler(seed=seed)


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Choice):
        return CategoricalDistribution([json.dumps(value) for value in parameter.values])
    if parameter.whole:
        step = 1 if parameter.step is None else int(parameter.step)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, step)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


def _frozen(trial: Trial, space: Space, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {
        "started": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        # Optuna ignores failed trials. Pruned ones without a measurement are the worst to it.
        "failed": TrialState.PRUNED,
        "pruned": TrialState.PRUNED,
    }
    return create_trial(
        state=states[trial.state],
        value=trial.value if trial.state == "finished" else None,
        params={
            parameter.name: _encoded(parameter, trial.values[parameter.name])
            for parameter in space.parameters
        },
        distributions=distributions,
        intermediate_values={} if trial.state == "failed" else dict(trial.points),
    )


def _encoded(parameter: Parameter, value: object) -> object:
    """Return a value as Optuna knows it: one of a list as its text in JSON."""
    return json.dumps(value) if isinstance(parameter, Choice) else value


def _decoded(parameter: Parameter, value: object) -> object:
    """Return the value of a setting, numbers with six digits, which people can read and type."""
    if isinstance(parameter, Choice):
        return json.loads(str(value))
    if parameter.whole:
        return value
    rounded = float(shown(value)) if parameter.step is None else round(float(str(value)), 12)
    return min(max(rounded, float(parameter.low)), float(parameter.high))
