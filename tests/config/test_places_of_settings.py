"""Errors say where the wrong setting was given."""

import re

import pytest

from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.reading.command import loaded_options
from lightly_core.config.reading.load import load_settings
from lightly_core.config.reading.merging import Layers
from lightly_core.errors import ConfigError, UnknownModelError


@pytest.fixture
def file(tmp_path):
    """Write a settings file; return its name."""

    def write(text):
        (tmp_path / "run.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "run.toml")

    return write


def places(problems):
    """Return the place of each problem by its name, and by the key in it that is unknown."""
    found = {}
    for line in problems:
        name, place, key = re.match(
            r"(config\S*)(?: \(from (.*?)\))?: (?:unknown key '(\w+)')?", line
        ).groups()
        found[f"{name}.{key}" if key else name] = place
    return found


def test_a_value_of_a_file_is_told_with_the_line(placed_problems, file):
    name = file(
        "batch_size = 0\nepoch = 3\nseed = -1\n"
        "[optim_args]\nlr = -1.0\nbetas = [0.9,\n 'x']\n"
        "[method_args]\ntemprature = 0.1\n"
        "[loggers]\nwandbb.project = 'x'\n"
    )
    assert places(placed_problems(config_file=name)) == {
        "config.batch_size": f"{name}, line 1",
        "config.epoch": f"{name}, line 2",
        "config.seed": f"{name}, line 3",
        "config.optim_args.lr": f"{name}, line 5",
        "config.optim_args.betas[1]": f"{name}, line 7",
        "config.method_args.temprature": f"{name}, line 9",
        "config.loggers.wandbb": f"{name}, line 11",
    }


def test_a_value_of_the_command_line_is_told_with_the_word(placed_problems):
    words = ["batch_size=0", "optim_args={lr = -1, epsi = 2}", "callbacks.knn.k=0", "epoch=3"]
    assert places(placed_problems(*words)) == {
        "config.batch_size": "'batch_size=0'",
        "config.epoch": "'epoch=3'",
        "config.optim_args.lr": "'optim_args={lr = -1, epsi = 2}'",
        "config.optim_args.epsi": "'optim_args={lr = -1, epsi = 2}'",
        "config.callbacks.knn.k": "'callbacks.knn.k=0'",
    }


def test_the_strongest_of_several_places_is_told(placed_problems, file):
    name = file("batch_size = 8\nepochs = -1\n[optim_args]\nlr = 0.1\nweight_decay = -1.0\n")
    lines = placed_problems("batch_size=0", config_file=name, optim_args={"lr": -1.0})
    assert places(lines) == {
        "config.batch_size": "'batch_size=0'",
        "config.epochs": f"{name}, line 2",
        "config.optim_args.lr": "the argument optim_args",
        "config.optim_args.weight_decay": f"{name}, line 5",
    }


def test_python_arguments_alone_have_the_names_of_the_settings(catalog):
    with pytest.raises(ConfigError) as caught:
        load_settings(catalog=catalog, arguments={"method": "toy", "batch_size": 0})
    assert set(places(caught.value.problems).values()) == {None}


def test_a_long_word_is_shortened(placed_problems):
    (line,) = placed_problems(f"epochs=[{', '.join('1' * 60)}]")
    assert len(places([line])["config.epochs"]) == 62
    assert places([line])["config.epochs"].endswith("1, 1...'")


def test_a_contradiction_names_the_place_of_the_setting_that_it_is_told_at(placed_problems, file):
    name = file('\ncheckpoint = "a.ckpt"\n')
    (line,) = placed_problems("resume_interrupted=true", config_file=name)
    assert line.startswith(f"config.checkpoint (from {name}, line 2): a resumed run continues")


def test_what_is_missing_was_given_nowhere(catalog, file):
    name = file('method = "toy"\n')
    with pytest.raises(ConfigError) as caught:
        load_settings(catalog=catalog, config_file=name)
    assert caught.value.problems[0] == "config.out: required, but missing"


def test_a_single_mistake_keeps_the_class_of_its_error(catalog, file):
    name = file('model = "toy/c"\nmethod = "toy"\nout = "out"\ndata = "images"\n')
    with pytest.raises(UnknownModelError) as caught:
        load_settings(catalog=catalog, config_file=name)
    assert str(caught.value).startswith(f"config.model (from {name}, line 1): ")
    assert caught.value.__cause__ is not None


def test_mistakes_that_are_found_later_are_placed_too(load, file):
    name = file("[method_args]\ntemperature = 0.2\n")
    settings = load("batch_size=3", config_file=name)
    later = [
        "config.batch_size: cannot be divided among 2 devices",
        "config.method_args.temperature: too hot",
        "no images in 'images'",
    ]
    with pytest.raises(UnknownModelError) as caught, settings.layers.named_in_errors():
        raise UnknownModelError.of(later)
    assert caught.value.problems == (
        "config.batch_size (from 'batch_size=3'): cannot be divided among 2 devices",
        f"config.method_args.temperature (from {name}, line 2): too hot",
        "no images in 'images'",
    )


def test_a_problem_that_has_its_place_stays_as_it_is():
    layers = Layers(pairs=["epochs=x"])
    (once,) = layers.located(["config.epochs: wrong"])
    assert once == "config.epochs (from 'epochs=x'): wrong"
    assert layers.located([once]) == [once]


def test_other_commands_name_the_place_too_when_they_load_and_later(file):
    name = file("batch_size = 0\n")
    words = ["out=a.csv", "data=b", "model=toy/a"]
    with (
        pytest.raises(ConfigError) as caught,
        loaded_options(EmbedConfig, config_file=name, pairs=words),
    ):
        pytest.fail("the settings are wrong")
    (problem,) = caught.value.problems
    assert problem == f"config.batch_size (from {name}, line 1): must be >= 1, got 0"
    with pytest.raises(ConfigError) as caught, loaded_options(EmbedConfig, pairs=words):
        raise ConfigError("config.out: exists")
    assert str(caught.value) == "config.out (from 'out=a.csv'): exists"
