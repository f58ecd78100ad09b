"""Settings that are wrong: what is said, and that all of it is said at once."""

import pytest

from lightly_core.config.options.checks import read_devices
from lightly_core.config.options.optim import LARSArgs, SGDArgs
from lightly_core.config.options.requires import Requires, exactly
from lightly_core.config.options.settings import (
    JsonlArgs,
)
from lightly_core.config.reading.load import load_settings
from lightly_core.errors import ConfigError, PluginError, UnknownModelError


def test_all_mistakes_of_all_groups_are_told_at_once(problems):
    lines = problems(
        "model=toy/c",
        "method_args.temprature=0.2",
        "optim_args.learning_rate=1",
        "transform_args.random_flip.horizonal_prob=0.5",
        "transform_args.num_views=3",
        "callbacks.knn.k=0",
        "callbacks.early_stoping=false",
        "loggers.wandbb.project=x",
        "loggers.tensorboard.prefix=3",
        "trainer_args.max_epochs=3",
        "loader_args.shuffle=false",
        "batch_sice=3",
        "epochs=1.5",
    )
    text = "\n".join(lines)
    for expected in (
        "config: unknown key 'batch_sice', did you mean 'batch_size'?",
        "config.epochs: expected int or 'auto', got 1.5 (float)",
        "config.method_args: unknown key 'temprature', did you mean 'temperature'?",
        "config.optim_args: unknown key 'learning_rate'",
        "config.transform_args.random_flip: unknown key 'horizonal_prob', "
        "did you mean 'horizontal_prob'?",
        "config.callbacks: unknown key 'early_stoping', did you mean 'early_stopping'?",
        "config.callbacks.knn.k: must be >= 1, got 0",
        "config.loggers.wandbb: unknown logger 'wandbb'",
        "config.loggers.tensorboard.prefix: expected str, got 3 (int)",
        "config.model: model library 'toy' has no model 'c'",
    ):
        assert expected in text


def test_turned_views_are_refused_where_the_method_needs_crops(
    problems, load, toy_config, monkeypatch
):
    turned = "transform_args.random_rotation.degrees=10"
    load(turned)
    monkeypatch.setattr(toy_config, "requires", Requires(global_views=exactly(2), crops=True))
    load()
    (line,) = problems(turned)
    assert line.startswith("config.transform_args.random_rotation: ")


def test_view_counts_and_owned_keys_join_the_other_mistakes(problems):
    assert problems(
        "transform_args.num_views=3", "trainer_args.max_epochs=3", "loader_args.shuffle=false"
    ) == (
        "config.loader_args.shuffle: set by the run itself; remove it",
        "config.trainer_args.max_epochs: set by the run itself; use the setting 'epochs' instead",
        "config.transform_args.num_views: method 'toy' takes 2 global views, got 3",
    )


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("trainer_args.accumulate_grad_batches", "gradient_accumulation_steps"),
        ("trainer_args.devices", "devices"),
        ("trainer_args.precision", "precision"),
        ("trainer_args.accelerator", "accelerator"),
        ("trainer_args.strategy", "strategy"),
        ("trainer_args.num_nodes", "num_nodes"),
        ("trainer_args.default_root_dir", "out"),
        ("loader_args.batch_size", "batch_size"),
        ("loader_args.num_workers", "num_workers"),
    ],
)
def test_keys_with_a_setting_of_their_own_point_to_it(problems, key, setting):
    (line,) = problems(f"{key}=1")
    assert line == f"config.{key}: set by the run itself; use the setting '{setting}' instead"


@pytest.mark.parametrize(
    "key", ["sampler", "batch_sampler", "drop_last", "collate_fn", "worker_init_fn", "generator"]
)
def test_what_the_loader_needs_cannot_be_replaced(problems, key):
    assert problems(f"loader_args.{key}=1") == (
        f"config.loader_args.{key}: set by the run itself; remove it",
    )


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("lr", "'optim_args.lr'"),
        ("temperature", "'method_args.temperature'"),
        ("teacher_momentum", "'method_args.teacher_momentum'"),
        ("image_size", "'transform_args.image_size'"),
        ("early_stopping", "'callbacks.early_stopping'"),
    ],
)
def test_a_setting_that_belongs_into_a_group_is_pointed_there(problems, key, place):
    assert problems(f"{key}=1") == (f"config: unknown key '{key}', did you mean {place}?",)


def test_required_settings_are_named(catalog):
    with pytest.raises(ConfigError) as caught:
        load_settings(catalog=catalog, arguments={"method": "toy"})
    assert caught.value.problems == tuple(
        f"config.{name}: required, but missing" for name in ("out", "data", "model")
    )


def test_an_unknown_method_is_one_problem_among_others(problems):
    lines = problems("method=toi", "batch_size=0", "optim=sgd", "optim_args.momentun=0.5")
    assert lines[0].startswith("config.method: unknown method 'toi'")
    assert "config.batch_size: must be >= 1, got 0" in lines
    assert "config.optim_args: unknown key 'momentun', did you mean 'momentum'?" in lines


def test_a_single_problem_of_the_catalog_keeps_its_class(load):
    with pytest.raises(UnknownModelError):
        load("model=toy/c")
    with pytest.raises(UnknownModelError):
        load("model=resnet18")


def test_a_plugin_that_cannot_be_used_keeps_its_class(load, monkeypatch):
    def load_config(record):
        if record.kind == "method":
            raise PluginError("broken")
        return JsonlArgs

    monkeypatch.setattr("lightly_core.config.reading.load.load_config", load_config)
    with pytest.raises(PluginError, match="broken"):
        load()


@pytest.mark.parametrize("group", ["method_args", "optim_args", "transform_args", "callbacks"])
def test_a_group_must_be_a_dictionary(problems, group):
    assert problems(f"{group}=3") == (f"config.{group}: expected dict or None, got 3 (int)",)


def test_own_checks_join_in(problems):
    lines = problems(checks=[lambda run: [f"config.data: '{run.data}' is empty"]])
    assert lines == ("config.data: 'images' is empty",)


@pytest.mark.parametrize("empty", ["out", "data", "model"])
def test_empty_names_are_refused(problems, empty):
    lines = problems(**{empty: ""})
    assert f"config.{empty}: must not be empty" in lines


@pytest.mark.parametrize("value", ["0", "-2", "a", "0,0", "[]", "[-1]", "1,x", "''"])
def test_devices_that_make_no_sense_are_refused(problems, value):
    (line,) = problems(f"devices={value}")
    assert line.startswith("config.devices: must be 'auto', a number >= 1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("auto", None), ("2", 2), ("'2'", 2), ("0,1", [0, 1]), ("[3]", [3]), ("0,", [0])],
)
def test_promise_15_devices_as_comma_string(load, value, expected):
    assert read_devices(load(f"devices={value}").run.devices) == expected


def test_promise_15_strategy_as_text(load):
    assert load("strategy=ddp_find_unused_parameters_true").run.strategy.startswith("ddp")


@pytest.mark.parametrize(
    ("pair", "start"),
    [
        ("embed_dim=0", "config.embed_dim: must be >= 1"),
        ("precision=fp8", "config.precision: expected 'auto', '32-true', 'bf16-mixed'"),
        ("transform_args.image_size=0", "config.transform_args.image_size: must be >= 1 pixel"),
        ("transform_args.image_size=[8,-8]", "config.transform_args.image_size: must be >= 1"),
        ("transform_args.num_channels=0", "config.transform_args.num_channels: must be >= 1"),
        ("seed=-1", "config.seed: must be in [0, 2**32 - 1] or None, got -1"),
        ("epochs=-1", "config.epochs: must be >= 0 or 'auto', got -1"),
        ("accelerator=gpus", "config.accelerator: must be one of auto, cpu, gpu, cuda, mps"),
        ("transform_args.num_views=2147483648", "config.transform_args.num_views: must be <= 1000"),
        ("transform_args.image_size=65536", "config.transform_args.image_size: must be <= 16384"),
        ("optim_args.lr=inf", "config.optim_args.lr: must be a finite number, got inf"),
    ],
)
def test_values_out_of_range_are_refused_early(problems, pair, start):
    (line,) = problems(pair)
    assert line.startswith(start)


def test_keys_that_are_no_text_are_refused(problems):
    assert problems(loggers={None: None}) == ("config.loggers: expected names as keys, got None",)
    (line,) = problems(transform_args={"normalize": {1: 2}})
    assert line == "config.transform_args.normalize: expected names as keys, got 1"


def test_values_that_hold_themselves_or_are_nested_too_deeply_are_refused(problems, load):
    ring = {}
    ring.update(a=ring, b=[ring])
    lines = problems(transform_args=ring)
    assert lines[0] == "config.transform_args.a: nested too deeply (it contains itself)"
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert "more than 20 levels" in problems(transform_args={"normalize": deep})[0]
    assert problems("transform_args.image_size=" + "[" * 5000)  # not a RecursionError


def test_promise_14_optim_names(problems, load):
    assert load("optim=sgd").optimizer == SGDArgs()
    assert load("optim=lars").optimizer == LARSArgs()
    (line,) = problems("optim=adamww")
    assert line.startswith("config.optim: ")
    assert line.endswith("got 'adamww', did you mean 'adamw'?")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1.5", "true", "'all'"])
def test_a_limit_that_is_no_number_of_batches_and_no_share_is_refused(problems, value):
    (line,) = problems(f"trainer_args.limit_train_batches={value}")
    assert line.startswith("config.trainer_args.limit_train_batches: expected a number of batches")


@pytest.mark.parametrize(
    ("pair", "remedy"),
    [
        ("fast_dev_run=true", "set epochs=1 and trainer_args.limit_train_batches=1"),
        ("overfit_batches=0.1", "give fewer images as data"),
        ("barebones=true", "remove it"),
        ("use_distributed_sampler=true", "remove it"),
    ],
)
def test_ways_of_running_that_take_away_parts_of_the_run_are_refused(problems, pair, remedy):
    (line,) = problems(f"trainer_args.{pair}")
    assert line.startswith(f"config.trainer_args.{pair.partition('=')[0]}: got")
    assert remedy in line


def test_arguments_of_the_trainer_that_ask_for_nothing_pass(load):
    load(
        "trainer_args={fast_dev_run = false, overfit_batches = 0.0, limit_train_batches = 1.0, "
        "use_distributed_sampler = false}"
    )


def test_checkpoints_that_are_ranked_by_nothing_are_refused(problems, load):
    (line,) = problems("callbacks.model_checkpoint.mode=max")
    assert "without a monitor" in line
    load("callbacks.model_checkpoint.mode=max", "callbacks.model_checkpoint.monitor=x")
    load("callbacks.model_checkpoint.mode=min")  # stands so in a recorded configuration


@pytest.mark.parametrize("name", ["pin_memory", "persistent_workers", "in_order"])
def test_a_word_is_no_switch_of_the_loader(problems, name):
    assert problems(f"loader_args.{name}=maybe") == (
        f"config.loader_args.{name}: expected true or false, got 'maybe' (str)",
    )


@pytest.mark.parametrize(("value", "expected"), [(-1, ">= 0"), (100_000, "<= 1024 processes")])
def test_a_number_of_workers_that_no_machine_has_is_refused(problems, value, expected):
    (line,) = problems(f"num_workers={value}")
    assert line == f"config.num_workers: must be {expected} or 'auto', got {value}"
