import warnings
from pathlib import Path, PureWindowsPath

import pytest

from lightly_core.config.options.augmentations import GaussianBlurArgs, RandomResizeArgs
from lightly_core.config.options.callbacks import CallbacksArgs, KnnArgs, ModelCheckpointArgs
from lightly_core.config.options.optim import AdamWArgs
from lightly_core.config.options.settings import (
    JsonlArgs,
    PythonObject,
    RunConfig,
    TensorBoardArgs,
)
from lightly_core.config.reading.load import Settings
from lightly_core.config.reading.merging import merge


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


def test_a_logger_whose_plugin_is_not_installed_can_be_switched_off(load, problems):
    assert load(loggers={"wandb": None, "mlflow": False}).loggers.keys() == {"jsonl", "tensorboard"}
    assert "wandb" not in load("loggers.wandb=none").loggers
    (line,) = problems(loggers={"wandb": {"project": "x"}})
    assert "pip install lightly-wandb" in line


# ------------------------------------------------------------------- promises of methods


def test_promise_03_teacher_momentum_is_another_name(load):
    assert load(method_args={"teacher_momentum": 0.9}).method.momentum_start == 0.9


def test_promise_03_both_names_at_once_contradict(problems):
    (line,) = problems(method_args={"teacher_momentum": 0.9, "momentum_start": 0.9})
    assert "'momentum_start' and 'teacher_momentum' are names of the same setting" in line


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
