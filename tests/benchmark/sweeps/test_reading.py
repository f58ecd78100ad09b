import pytest

from lightly_core.benchmarking.forking import modules_of
from lightly_core.benchmarking.planning import plan_rows
from lightly_core.benchmarking.sweeps import reading
from lightly_core.errors import ConfigError

HEAD = """
name = "tiny"
out = "{folder}/out"
data.train = "builtin:digits"
run = {{ model = "timm/test_resnet", epochs = 2, transform_args.image_size = 32 }}
[[rows]]
method = "simclr"
"""


@pytest.fixture
def sweep_in(load):
    """Load a suite of one row with a sweep, and return the row."""

    def read(space, *pairs, **options):
        lines = [f"sweep.{name} = {value}" for name, value in options.items()]
        lines += [f"sweep.space.{name} = {value}" for name, value in space.items()]
        text = "\n".join(lines).replace("{", "{{").replace("}", "}}")
        (row,) = load(*pairs, whole=HEAD + text).rows
        return row

    return read


def problems_of(sweep_in, *given, **options):
    with pytest.raises(ConfigError) as caught:
        sweep_in(*given, **options)
    return caught.value.problems


LR = '"optim_args.lr"'
RANGE = "{ low = 1e-4, high = 1.0, log = true }"


@pytest.mark.parametrize(
    ("space", "options", "expected"),
    [
        ({"optim_args.lrr": "[0.1]"}, {}, "unknown key 'lrr', did you mean 'lr'?"),
        ({"optim_args.lr": "{ low = -1.0, high = 1.0 }"}, {}, "config.optim_args.lr: must be"),
        (
            {"method_args.temperature": "[0.1, 0.0, -2.0]"},
            {},
            "sweep.space.method_args.temperature = 0: config.method_args.temperature: must be > 0",
        ),
        ({"epochs": "{ low = 1, high = 2.5 }"}, {}, "sweep.space.epochs = 2.5: config.epochs"),
        ({"optim": "{ low = 1, high = 2 }"}, {}, "config.optim: expected str, got 1 (int)"),
        ({"compile": "{ low = 0, high = 1 }"}, {}, "config.compile: expected bool, got 0 (int)"),
        ({"method": '["simclr", "byol"]'}, {}, "'method' cannot be set here"),
        ({"optim_args.lr": RANGE}, {"trials": 0}, "row.sweep.trials: must be >= 1"),
        ({"optim_args.lr": RANGE}, {"pruner": '"medain"'}, "did you mean 'median'?"),
        ({"optim_args.lr": RANGE}, {"sampler": '"grid"'}, "a grid needs a list of values"),
        ({"epochs": "[1, 2]"}, {"trials": 3}, "the space has 2 combinations, got 3 trials"),
    ],
)
def test_wrong_sweeps_are_refused(sweep_in, space, options, expected):
    assert any(expected in text for text in problems_of(sweep_in, space, **options))


def test_all_mistakes_are_named_at_once(sweep_in):
    space = {
        "epochs": "[1, -2, -3]",
        "optim_args.lrr": "[1]",
        "batch_size": "{ low = 3, high = 1 }",
    }
    (problem,) = problems_of(sweep_in, space)  # the form of the space comes first
    assert "'low' must be below 'high'" in problem
    del space["batch_size"]
    found = problems_of(sweep_in, space, "run.seed=-1")
    assert len(found) == 4
    assert sum("config.epochs: must be >= 0" in text for text in found) == 2


def test_a_setting_of_the_command_line_cannot_be_searched(sweep_in):
    (problem,) = problems_of(sweep_in, {"epochs": "[1, 2]"}, "run.epochs=3")
    assert "sweep.space.epochs: run.epochs sets one value for all rows" in problem


def test_optuna_is_needed_for_ranges_only(sweep_in, monkeypatch):
    monkeypatch.setattr(reading, "has_optuna", lambda: False)
    (problem,) = problems_of(sweep_in, {"optim_args.lr": RANGE})
    assert "pip install 'lightly-core[optuna]'" in problem
    assert sweep_in({"optim_args.lr": "[0.1, 0.2]", "epochs": "[1, 2]"}).sweep.num_trials == 4


def test_ranges_of_whole_ends_follow_the_type_of_the_setting(sweep_in):
    space = {
        "epochs": "{ low = 1, high = 9 }",
        "optim_args.lr": "{ low = 1, high = 2 }",
        "batch_size": "{ low = 16, high = 256, log = true }",
    }
    sweep = sweep_in(space, sampler='"random"').sweep
    assert [parameter.whole for parameter in sweep.space.parameters] == [True, False, True]
    assert sweep.num_trials == 20


def test_a_trial_is_the_row_with_other_values(sweep_in):
    space = {
        "optim_args.lr": "[0.1, 0.2]",
        "transform_args.color_jitter": "[false, {strength=0.5}]",
    }
    row = sweep_in(space, "run.optim_args.weight_decay=0.5", metric='"train_loss"')
    assert (row.sweep.sampler, row.sweep.num_trials, row.sweep.maximize) == ("grid", 4, False)
    trial = row.sweep.make("simclr/trial-003", row.sweep.propose([], 3))
    assert trial.sweep is None
    assert (trial.name, trial.method, trial.label) == ("simclr/trial-003", "simclr", "simclr")
    assert (trial.settings.optimizer.lr, trial.settings.optimizer.weight_decay) == (0.2, 0.5)
    assert trial.settings.transform.color_jitter.strength == 0.5
    assert row.sweep.make("x", row.sweep.propose([], 2)).settings.transform.color_jitter is None


def test_libraries_that_only_some_trials_use_are_not_imported_ahead(sweep_in):
    row = sweep_in({"model": '["timm/test_resnet", "torchvision/resnet18"]'})
    common = modules_of(row.variants)
    assert "lightly_core.engine.run" in common
    assert not any("timm" in name or "torchvision" in name for name in common)


def plan_of(row):
    (plan,) = plan_rows([row], [])
    return plan


def test_the_plan_of_a_sweep_is_that_of_its_longest_trial(sweep_in, plan_here):
    plan_here()
    options = {"pruner": '"none"'}
    plan = plan_of(sweep_in({"epochs": "{ low = 2, high = 5 }", "batch_size": "[64]"}, **options))
    assert (plan.num_images, plan.epochs, plan.note) == (1797, 5, "")
    assert plan.images == 5 * (1797 // 64) * 64


def test_metrics_that_the_runs_will_not_log_are_refused(sweep_in, plan_here):
    plan_here()
    for metric, expected in (
        ("knn/top2", "sweep.metric: there is no metric 'knn/top2', did you mean 'knn/top"),
        (
            "linear/top1",
            "sweep.metric: there will be no 'linear/top1' in this run: it needs val_data",
        ),
    ):
        (problem,) = plan_of(sweep_in({"epochs": "[2, 3]"}, metric=f'"{metric}"')).problems
        assert expected in problem


@pytest.mark.parametrize(
    ("metric", "setting", "noted"),
    [
        ("knn/top1", "knn=true", True),
        ("knn/top1", "knn.every_n_epochs=1", False),
        ("rank/rankme", "signals.every_n_epochs=3", True),
        ("rank/rankme", "signals.every_n_epochs=2", False),
        ("train_loss", "signals=none", False),
    ],
)
def test_a_pruner_without_measurements_to_look_at_is_noted(
    sweep_in, plan_here, metric, setting, noted
):
    plan_here()
    row = sweep_in({"epochs": "[3]"}, f"run.callbacks.{setting}", metric=f'"{metric}"')
    assert ("no trial is stopped early" in plan_of(row).note) == noted
