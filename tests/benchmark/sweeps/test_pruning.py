"""The rules beside those of Optuna, on the same random measurements."""

import random

import optuna
import pytest

from lightly_core.benchmarking.sweeps.pruning import REDUCTION, pruned_at
from lightly_core.benchmarking.sweeps.trial import Trial
from lightly_core.config.options.sweep import SweepArgs

EPOCHS = 12


def args_of(**options):
    return SweepArgs(space={"a": [1]}, **options)


def curves_of(seed, sign):
    """Make curves that become better, at different rates."""
    generator = random.Random(seed)
    for _ in range(40):
        rate = 0.1 * generator.random()
        yield [sign * (rate * epoch + generator.gauss(0, 0.1)) for epoch in range(EPOCHS)]


def ours(curves, args, maximize):
    trials = []
    for number, curve in enumerate(curves):
        points = tuple(enumerate(curve, start=1))
        at = pruned_at(points, trials, args, maximize=maximize, last_epoch=EPOCHS)
        state = "finished" if at is None else "pruned"
        trials.append(
            Trial(
                number=number, values={}, state=state, points=points if at is None else points[:at]
            )
        )
    return [len(trial.points) for trial in trials]


def optunas(curves, pruner, maximize, sampler):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if maximize else "minimize"
    study = optuna.create_study(pruner=pruner, direction=direction, sampler=sampler)
    lengths = []
    for curve in curves:
        trial = study.ask()
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            if epoch < EPOCHS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        lengths.append(epoch)
    return lengths


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("rule", ["median", "halving"])
def test_the_rules_stop_the_trials_that_optunas_stop(rule, maximize):
    sampler = optuna.samplers.RandomSampler(seed=0)
    if rule == "median":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2)
        args = args_of(pruner=rule, startup_trials=3, warmup_epochs=2)
    else:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=REDUCTION)
        # Optuna's rule has no startup trials: one finished trial is the fewest here.
        args = args_of(pruner=rule, startup_trials=0, warmup_epochs=2)
    curves = list(curves_of(seed=3, sign=1 if maximize else -1))
    lengths = ours(curves, args, maximize)
    assert lengths == optunas(curves, pruner, maximize, sampler)
    assert len(set(lengths)) > 2  # some are stopped at once, some later, some never


def finished(*values):
    return Trial(number=0, values={}, state="finished", points=tuple(enumerate(values, start=1)))


def test_neither_the_untrained_network_nor_the_last_epoch_stops_a_trial():
    others = [finished(0.5, 0.6, 0.7)] * 5
    args = args_of()

    def decision(*points):
        return pruned_at(points, others, args, maximize=True, last_epoch=3)

    assert decision((3, 0.1)) is None
    assert decision((2, 0.1), (3, 0.1)) == 2
    assert decision((2, 0.6)) is None  # not below the median


def test_a_value_that_is_not_finite_is_the_worst():
    others = [finished(-5.0, -5.0, -5.0)] * 5
    for maximize in (True, False):
        points = ((1, float("nan")),)
        assert pruned_at(points, others, args_of(), maximize=maximize, last_epoch=3) == 1


def test_nothing_is_stopped_before_enough_trials_have_finished_or_without_a_rule():
    points, others = ((1, 0.0),), [finished(1.0, 1.0)] * 4
    assert pruned_at(points, others, args_of(), maximize=True, last_epoch=2) is None
    more = [*others, finished(1.0, 1.0)]
    assert pruned_at(points, more, args_of(), maximize=True, last_epoch=2) == 1
    off = args_of(pruner="none")
    assert pruned_at(points, more, off, maximize=True, last_epoch=2) is None
