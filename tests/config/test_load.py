import warnings
from pathlib import Path, PureWindowsPath

import pytest

from lightly_core.config.augmentations import GaussianBlurArgs, RandomResizeArgs
from lightly_core.config.callbacks import CallbacksArgs, KnnArgs, ModelCheckpointArgs
from lightly_core.config.checks import read_devices
from lightly_core.config.load import Settings, load_settings
from lightly_core.config.merging import merge
from lightly_core.config.optim import AdamWArgs, LARSArgs, SGDArgs
from lightly_core.config.settings import (
    JsonlArgs,
    PythonObject,
    RunConfig,
    TensorBoardArgs,
)
from lightly_core.errors import ConfigError, PluginError, UnknownModelError


class Thing:
    """Stands for a module, a dataset or a strategy."""


# ------------------------------------------------------------------- what is filled in


def test_defaults(load, toy_config):
    settings = load()
    assert isinstance(settings, Settings)
    assert settings.run == RunConfig(out="out", data="images", model="toy/a", method="toy")
    assert settings.method == toy_config()
    assert settings.transform == toy_config.default_transform()
    assert (settings.optimizer_name, settings.optimizer) == ("adamw", AdamWArgs(lr=0.5))
    assert settings.callbacks == CallbacksArgs()
    assert settings.loggers == {"jsonl": JsonlArgs(), "tensorboard": TensorBoardArgs()}
    assert settings.logger_records.keys() == settings.loggers.keys()
    assert (settings.model_record.name, settings.model_name) == ("toy", "a")
    assert settings.method_record.target == "toy_plugin:Toy"


def test_groups_are_laid_over_what_the_method_brings(load, toy_config):
    settings = load(
        "method_args.temperature=0.2",
        "transform_args.random_resize.max_scale=0.9",
        "transform_args.gaussian_blur={prob=1.0}",
        "optim_args.weight_decay=0.3",
        "callbacks.model_checkpoint.every_n_epochs=5",
        "callbacks.early_stopping=false",
        "loggers.tensorboard.prefix=x",
    )
    assert settings.method == toy_config(temperature=0.2)
    assert settings.transform.random_resize == RandomResizeArgs(min_scale=0.2, max_scale=0.9)
    assert settings.transform.gaussian_blur == GaussianBlurArgs(prob=1.0)
    assert settings.optimizer == AdamWArgs(lr=0.5, weight_decay=0.3)
    assert settings.callbacks.model_checkpoint == ModelCheckpointArgs(every_n_epochs=5)
    assert settings.callbacks.early_stopping is None
    assert settings.callbacks.knn == KnnArgs()
    assert settings.loggers["tensorboard"] == TensorBoardArgs(prefix="x")


def test_precedence_is_file_then_pairs_then_python(load, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        "epochs = 1\nbatch_size = 1\nseed = 1\n[optim_args]\nlr = 0.1\neps = 0.1\n"
        "[transform_args]\nrandom_flip = false\n",
        encoding="utf-8",
    )
    settings = load(
        "batch_size=2",
        "seed=2",
        "optim_args.lr=0.2",
        config_file=str(file),
        seed=3,
        optim_args={"weight_decay": 0.3},
    )
    assert (settings.run.epochs, settings.run.batch_size, settings.run.seed) == (1, 2, 3)
    assert settings.optimizer == AdamWArgs(lr=0.2, eps=0.1, weight_decay=0.3)
    assert settings.transform.random_flip is None
    assert settings.run.optim_args == {"lr": 0.2, "eps": 0.1, "weight_decay": 0.3}
    origins = settings.origins
    assert origins["epochs"] == str(file)
    assert origins["optim_args.lr"] == "command line"
    assert origins["seed"] == "Python"
    assert "num_workers" not in origins


def test_none_from_a_stronger_place_takes_a_group_back(load, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[optim_args]\nlr = 0.1\n", encoding="utf-8")
    assert load(config_file=str(file), optim_args=None).optimizer == AdamWArgs(lr=0.5)


def test_a_stronger_place_may_use_another_name_of_a_field(load, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[method_args]\nteacher_momentum = 0.5\n", encoding="utf-8")
    settings = load("method_args.momentum_start=0.75", config_file=str(file))
    assert settings.method.momentum_start == 0.75


def test_merge_joins_groups_and_replaces_values():
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {"f": 1}}
    above = {"a": {"c": [3]}, "d": {"x": 1}, "e": None}
    assert merge(below, above) == {"a": {"b": 1, "c": [3]}, "d": {"x": 1}, "e": None}
    assert below["a"] == {"b": 1, "c": [1, 2]}


# ------------------------------------------------------------------- what Python passes


def test_paths_become_text(load):
    settings = load(out=Path("a/b"), data=[Path("c"), "d"], checkpoint=Path("e.ckpt"))
    assert settings.run.out == str(Path("a/b"))
    assert settings.run.data == ["c", "d"]
    assert settings.run.checkpoint == "e.ckpt"


def test_promise_11_model_may_be_a_path(load):
    assert load(model=Path("toy/b")).model_name == "b"
    assert load(model=PureWindowsPath("toy\\b")).run.model == "toy/b"


@pytest.mark.parametrize("name", ["data", "model", "accelerator", "strategy"])
def test_objects_are_wrapped(load, name):
    thing = Thing()
    wrapped = getattr(load(**{name: thing}).run, name)
    assert isinstance(wrapped, PythonObject)
    assert wrapped.value is thing


def test_a_model_object_has_no_record(load):
    settings = load(model=Thing())
    assert (settings.model_record, settings.model_name) == (None, None)


def test_objects_reach_method_options_that_take_them(load):
    thing = Thing()
    assert load(method_args={"teacher": thing}).method.teacher.value is thing


def test_arguments_for_libraries_are_left_as_they_are(load):
    thing = Thing()
    settings = load(model_args={"layer": thing}, trainer_args={"callbacks": [thing]})
    assert settings.run.model_args == {"layer": thing}
    assert settings.run.trainer_args == {"callbacks": [thing]}


def test_tuples_are_lists_to_the_settings(load):
    settings = load(
        optim_args={"betas": (0.8, 0.9)}, transform_args={"image_size": (32, 64)}, devices=(0, 1)
    )
    assert settings.optimizer.betas == (0.8, 0.9)
    assert settings.transform.image_size == (32, 64)
    assert settings.run.devices == [0, 1]


# ------------------------------------------------------------------- mistakes


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


def test_turned_views_are_refused_where_the_method_wants_crops(
    problems, load, toy_config, monkeypatch
):
    turned = "transform_args.random_rotation.degrees=10"
    load(turned)
    monkeypatch.setattr(toy_config, "wants_crops", True)
    load()
    assert problems(turned) == (
        "config.transform_args.random_rotation: the method needs to know where views were cut out, "
        "which is not told of turned images; set it to None",
    )


def test_view_counts_and_owned_keys_join_the_other_mistakes(problems):
    assert problems(
        "transform_args.num_views=3", "trainer_args.max_epochs=3", "loader_args.shuffle=false"
    ) == (
        "config.loader_args.shuffle: set by the run itself; leave it out",
        "config.trainer_args.max_epochs: set by the run itself; use the setting 'epochs' instead",
        "config.transform_args.num_views: the method takes 2 global views, got 3",
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
        f"config.loader_args.{key}: set by the run itself; leave it out",
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

    monkeypatch.setattr("lightly_core.config.load.load_config", load_config)
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
        ("precision=bf16", "config.precision: expected 'auto', '32-true', 'bf16-mixed'"),
        ("transform_args.image_size=0", "config.transform_args.image_size: must be >= 1 pixel"),
        ("transform_args.image_size=[8,-8]", "config.transform_args.image_size: must be >= 1"),
        ("transform_args.num_channels=0", "config.transform_args.num_channels: must be >= 1"),
        ("seed=-1", "config.seed: must be in [0, 2**32 - 1] or None, got -1"),
        ("epochs=-1", "config.epochs: must be >= 0 or 'auto', got -1"),
        ("accelerator=gpus", "config.accelerator: must be one of auto, cpu, gpu, cuda, mps"),
        ("optim_args.lr=inf", "config.optim_args.lr: must be a finite number, got inf"),
    ],
)
def test_values_out_of_range_are_refused_early(problems, pair, start):
    (line,) = problems(pair)
    assert line.startswith(start)


def test_promise_14_optim_names(problems, load):
    assert load("optim=sgd").optimizer == SGDArgs()
    assert load("optim=lars").optimizer == LARSArgs()
    (line,) = problems("optim=adamv")
    assert line == (
        "config.optim: must be one of auto, adamw, sgd, lars, got 'adamv', did you mean 'adamw'?"
    )


# ------------------------------------------------------------------- resume, loggers


def test_promise_06_resume_alone_works_and_warns(load):
    with pytest.warns(FutureWarning, match="use 'resume_interrupted'"):
        run = load(resume=True).run
    assert (run.resume, run.resume_interrupted) == (None, True)


def test_resume_with_the_same_value_only_warns(load):
    with pytest.warns(FutureWarning):
        assert load(resume=True, resume_interrupted=True).run.resume_interrupted


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("old", "new"), [(True, False), (False, True)])
def test_resume_and_resume_interrupted_must_not_contradict(problems, old, new):
    (line,) = problems(resume=old, resume_interrupted=new)
    assert line.startswith("config.resume: ")
    assert f"resume={old} and resume_interrupted={new}" in line


def test_without_resume_nothing_warns(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(resume=None, resume_interrupted=True)


@pytest.mark.parametrize("other", [{"checkpoint": "x.ckpt"}, {"overwrite": True}])
def test_resuming_excludes_other_beginnings(problems, other):
    (line,) = problems(resume_interrupted=True, **other)
    assert line.startswith(f"config.{next(iter(other))}: ")


def test_tensorboard_is_switched_off_with_none(load):
    assert load(loggers={"tensorboard": None}).loggers.keys() == {"jsonl"}
    assert load("loggers.tensorboard=false").logger_records.keys() == {"jsonl"}


def test_jsonl_cannot_be_switched_off(load):
    with pytest.warns(UserWarning, match="'jsonl' is always on"):
        assert "jsonl" in load(loggers={"jsonl": None}).loggers


def test_an_unknown_logger_is_refused_even_when_switched_off(problems):
    (line,) = problems(loggers={"wandbb": None})
    assert "unknown logger 'wandbb'" in line


# ------------------------------------------------------------------- promises of methods


def test_promise_03_teacher_momentum_is_another_name(load):
    assert load(method_args={"teacher_momentum": 0.9}).method.momentum_start == 0.9


def test_promise_03_both_names_at_once_contradict(problems):
    (line,) = problems(method_args={"teacher_momentum": 0.9, "momentum_start": 0.9})
    assert "'momentum_start' and 'teacher_momentum' are names of one setting" in line


def test_promise_13_teacher_url_reaches_the_method(load):
    url = "https://example.org/teacher.pth"
    assert load(f"method_args.teacher_url={url}").method.teacher_url == url


def test_promise_02_seed_none(load):
    assert load(seed=None).run.seed is None
    assert load("seed=none").run.seed is None


def test_the_word_none_reaches_a_setting_that_knows_it(load):
    settings = load("optim_args.lr_scale_method=none")
    assert settings.optimizer.lr_scale_method == "none"


def test_another_name_of_a_method_is_shown_as_the_method_itself(load):
    settings = load("method=plaything", "method_args.momentum_start=0.5")
    assert settings.run.method == "toy"
    assert settings.method.momentum_start == 0.5
