import pickle
from typing import Literal

import numpy as np
import pytest
from attrs import define, field
from attrs.validators import ge, gt

from lightly_core.config.options.augmentations import (
    ColorJitterArgs,
    GaussianBlurArgs,
    GlobalView1Args,
    RandomResizeArgs,
)
from lightly_core.config.options.callbacks import CallbacksArgs, KnnArgs, ModelCheckpointArgs
from lightly_core.config.options.optim import AdamWArgs
from lightly_core.config.options.settings import PythonObject, RunConfig
from lightly_core.config.options.transform import MultiCropTransformArgs, TransformArgs
from lightly_core.config.reading.structure import structure, unstructure
from lightly_core.errors import ConfigError, UnknownModelError

REQUIRED = {"out": "o", "data": "d", "model": "m"}


@define(frozen=True, kw_only=True)
class Inner:
    size: int | tuple[int, int] = 1
    rate: float = field(default=0.5, validator=gt(0))


@define(frozen=True, kw_only=True)
class Outer:
    number: int = field(default=1, validator=ge(1))
    names: list[str] = field(factory=list)
    flag: bool = False
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    auto: int | Literal["auto"] = "auto"
    maybe: int | None = 3
    weights: dict[str, float] = field(factory=dict)
    inner: Inner = field(default=Inner(rate=0.25))
    other: Inner | None = None
    like: Inner | Literal["same"] | None = "same"
    start: float = field(default=0.0, metadata={"aliases": ("begin", "first")})


def wrong(value, cls=Outer, **keywords):
    with pytest.raises(ConfigError) as caught:
        structure(value, cls, path="config", **keywords)
    return caught.value.problems


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"number": 3.7}, "config.number: expected int, got 3.7 (float)"),
        ({"number": 3.0}, "config.number: expected int, got 3.0 (float)"),
        ({"number": True}, "config.number: expected int, got True (bool)"),
        ({"number": "3"}, "config.number: expected int, got '3' (str)"),
        ({"number": None}, "config.number: expected int, got None"),
        ({"flag": "false"}, "config.flag: expected bool, got 'false' (str)"),
        ({"flag": 0}, "config.flag: expected bool, got 0 (int)"),
        ({"names": "abc"}, "config.names: expected list of str, got 'abc' (str)"),
        ({"names": ["a", 1]}, "config.names[1]: expected str, got 1 (int)"),
        ({"start": True}, "config.start: expected float, got True (bool)"),
        ({"start": "0.5"}, "config.start: expected float, got '0.5' (str)"),
        ({"pair": "12"}, "config.pair: expected (float, float), got '12' (str)"),
        ({"pair": [1, 2, 3]}, "config.pair: expected 2 values, got 3: [1, 2, 3] (list)"),
        ({"many": [1, 2.5]}, "config.many[1]: expected int, got 2.5 (float)"),
        (
            {"auto": "atuo"},
            "config.auto: expected int or 'auto', got 'atuo' (str), did you mean 'auto'?",
        ),
        ({"auto": True}, "config.auto: expected int or 'auto', got True (bool)"),
        ({"maybe": "x"}, "config.maybe: expected int or None, got 'x' (str)"),
        ({"weights": {"a": "b"}}, "config.weights.a: expected float, got 'b' (str)"),
        ({"weights": {1: 2.0}}, "config.weights: keys must be str, got 1 (int)"),
        ({"inner": None}, "config.inner: expected dict, got None"),
        ({"inner": {"rate": 0}}, "config.inner.rate: must be > 0, got 0.0"),
        ({"inner": {"size": [1]}}, "config.inner.size: expected 2 values, got 1: [1] (list)"),
        ({"inner": {"size": [1, "x"]}}, "config.inner.size[1]: expected int, got 'x' (str)"),
        ({"other": 3}, "config.other: expected dict or None, got 3 (int)"),
        ({"like": 3}, "config.like: expected dict, 'same' or None, got 3 (int)"),
        (
            {"like": "smae"},
            "config.like: expected dict, 'same' or None, got 'smae' (str), did you mean 'same'?",
        ),
        ({"like": {"rate": 0}}, "config.like.rate: must be > 0, got 0.0"),
        ({"other": {"rat": 1}}, "config.other: unknown key 'rat', did you mean 'rate'?"),
        ({"number": 0}, "config.number: must be >= 1, got 0"),
        ({"nubmer": 1}, "config: unknown key 'nubmer', did you mean 'number'?"),
    ],
)
def test_nothing_is_bent_into_shape(given, line):
    assert wrong(given) == (line,)


def test_what_fits_is_taken():
    made = structure(
        {"start": 2, "pair": [1, 2], "many": [1, 2], "auto": 7, "weights": {"a": 1}},
        Outer,
        path="config",
    )
    assert made == Outer(start=2.0, pair=(1.0, 2.0), many=(1, 2), auto=7, weights={"a": 1.0})
    assert type(made.start) is float


def test_numpy_numbers_become_python_numbers():
    made = structure({"number": np.int64(4), "start": np.float32(0.5)}, Outer, path="config")
    assert (type(made.number), type(made.start)) == (int, float)
    assert (made.number, made.start) == (4, 0.5)


def test_a_number_too_large_for_a_float_is_a_mistake():
    assert wrong({"start": 10**400})[0].startswith("config.start: expected float")


def test_all_mistakes_are_told_at_once_also_those_of_validators():
    lines = wrong(
        {"number": 0, "names": "abc", "flag": 1, "inner": {"rate": -1.0, "sice": 3}, "zzz": 1}
    )
    assert lines == (
        "config: unknown key 'zzz'; known: number, names, flag, pair, many, auto, maybe, weights, "
        "inner, other, like, start, begin, first",
        "config.names: expected list of str, got 'abc' (str)",
        "config.flag: expected bool, got 1 (int)",
        "config.inner: unknown key 'sice', did you mean 'size'?",
        "config.inner.rate: must be > 0, got -1.0",
        "config.number: must be >= 1, got 0",
    )


def test_the_message_counts_the_mistakes():
    with pytest.raises(ConfigError) as caught:
        structure({"number": 0, "flag": 1}, Outer, path="config")
    assert str(caught.value).splitlines() == [
        "2 settings are wrong:",
        "  config.flag: expected bool, got 1 (int)",
        "  config.number: must be >= 1, got 0",
    ]


def test_a_single_mistake_is_the_message():
    with pytest.raises(ConfigError, match=r"^config\.flag: expected bool, got 1 \(int\)$"):
        structure({"flag": 1}, Outer, path="config")


def test_problems_survive_pickling():
    error = pickle.loads(pickle.dumps(ConfigError.of(["a", "b"])))
    assert error.problems == ("a", "b")
    assert ConfigError("text").problems == ("text",)
    assert isinstance(UnknownModelError.of(["x"]), UnknownModelError)


def test_required_settings_are_named():
    assert wrong({"data": "d"}, RunConfig) == (
        "config.out: required, but missing",
        "config.model: required, but missing",
    )


def test_a_long_value_is_cut():
    (line,) = wrong({"number": "x" * 500})
    assert len(line) < 120


# ------------------------------------------------------------------- laying over a base


def test_partial_groups_change_only_what_they_name():
    base = TransformArgs(
        color_jitter=ColorJitterArgs(strength=0.5), gaussian_blur=None, image_size=64
    )
    made = structure({"color_jitter": {"prob": 0.3}}, TransformArgs, path="config", base=base)
    assert made.color_jitter == ColorJitterArgs(strength=0.5, prob=0.3)
    assert made.gaussian_blur is None
    assert made.image_size == 64


def test_a_group_without_base_value_starts_from_its_class_defaults():
    made = structure(
        {"gaussian_blur": {"prob": 0.3}},
        TransformArgs,
        path="config",
        base=TransformArgs(gaussian_blur=None),
    )
    assert made.gaussian_blur == GaussianBlurArgs(prob=0.3)


def test_without_a_base_a_group_is_laid_over_the_default_of_the_field():
    assert structure({"inner": {"size": 3}}, Outer, path="config").inner == Inner(size=3, rate=0.25)


def test_two_levels_deep():
    made = structure(
        {"local_view": {"random_resize": {"min_scale": 0.1}}}, MultiCropTransformArgs, path="config"
    )
    assert made.local_view.random_resize == RandomResizeArgs(min_scale=0.1, max_scale=0.14)
    assert made.local_view.num_views == 6


@pytest.mark.parametrize("base", [None, Outer(), Outer(like=None)])
def test_a_dictionary_takes_the_place_of_a_word(base):
    made = structure({"like": {"size": 3}}, Outer, path="config", base=base)
    assert made.like == Inner(size=3)


def test_a_word_takes_the_place_of_a_dictionary():
    base = Outer(like=Inner(rate=0.75))
    assert structure({"like": "same"}, Outer, path="config", base=base).like == "same"
    made = structure({"like": {"size": 3}}, Outer, path="config", base=base)
    assert made.like == Inner(size=3, rate=0.75)
    assert structure({"like": True}, Outer, path="config").like == Inner()
    assert structure({}, Outer, path="config", base=base) == base


@pytest.mark.parametrize("off", [None, False])
@pytest.mark.parametrize("name", ["color_jitter", "random_resize", "gaussian_blur"])
def test_the_second_view_can_do_without(off, name):
    base = MultiCropTransformArgs(global_view_1=GlobalView1Args(gaussian_blur=GaussianBlurArgs()))
    given = {"global_view_1": {name: off}}
    made = structure(given, MultiCropTransformArgs, path="config", base=base)
    assert getattr(made.global_view_1, name) is None


@pytest.mark.parametrize("off", [None, "none"])
def test_the_second_view_can_keep_its_colour(off):
    given = {"global_view_1": {"random_gray_scale": off}}
    made = structure(given, MultiCropTransformArgs, path="config")
    assert made.global_view_1.random_gray_scale is None
    assert made.global_view_1.color_jitter == "same"


def test_a_probability_or_a_word_is_checked():
    (line,) = wrong({"random_gray_scale": 2}, GlobalView1Args)
    assert line == "config.random_gray_scale: must be a probability in [0, 1], got 2.0"
    (line,) = wrong({"random_gray_scale": "sane"}, GlobalView1Args)
    assert line.endswith("expected float, 'same' or None, got 'sane' (str), did you mean 'same'?")


@pytest.mark.parametrize("off", [None, False])
def test_none_and_false_switch_a_group_off(off):
    assert structure({"random_flip": off}, TransformArgs, path="config").random_flip is None


def test_true_switches_a_group_on_as_it_is():
    base = CallbacksArgs(knn=KnnArgs(k=3), model_checkpoint=None)
    made = structure(
        {"knn": True, "model_checkpoint": True}, CallbacksArgs, path="config", base=base
    )
    assert made.knn == KnnArgs(k=3)
    assert made.model_checkpoint == ModelCheckpointArgs()


def test_toml_without_null_can_say_none_where_no_text_fits():
    assert structure({**REQUIRED, "seed": "none"}, RunConfig, path="config").seed is None
    assert structure({**REQUIRED, "checkpoint": "none"}, RunConfig, path="c").checkpoint == "none"


def test_the_same_mistakes_are_found_over_a_base():
    base = TransformArgs(random_resize=RandomResizeArgs(min_scale=0.5))
    (line,) = wrong({"random_resize": {"max_scale": 0.2}}, TransformArgs, base=base)
    assert line == (
        "config.random_resize: expected min_scale <= max_scale <= 1, "
        "got min_scale=0.5, max_scale=0.2"
    )


# ------------------------------------------------------------------- aliases, objects


@pytest.mark.parametrize("name", ["start", "begin", "first"])
def test_a_field_has_other_names(name):
    assert structure({name: 0.5}, Outer, path="config").start == 0.5


def test_two_names_of_one_field_contradict():
    assert wrong({"begin": 0.5, "first": 0.5}) == (
        "config: 'begin' and 'first' are names of the same setting, give only one of them",
    )


def test_mistakes_show_the_name_that_was_given():
    assert wrong({"begin": "x"}) == ("config.begin: expected float, got 'x' (str)",)


def test_python_objects_pass_as_they_are():
    thing = object()
    made = structure({**REQUIRED, "model": PythonObject(thing)}, RunConfig, path="config")
    assert made.model.value is thing


def test_a_python_object_where_none_is_allowed_is_named_by_its_class():
    assert wrong({"number": PythonObject(object())}) == (
        "config.number: expected int, got <builtins.object object>",
    )


def test_options_may_be_given_as_instances():
    made = structure({"inner": Inner(rate=0.75)}, Outer, path="config")
    assert made.inner.rate == 0.75


def test_unstructure_gives_plain_data():
    run = RunConfig(out="o", data=PythonObject([1]), model="m", model_args={"size": (1, 2)})
    data = unstructure(run)
    assert data["data"] == "<builtins.list object>"
    assert data["model_args"] == {"size": [1, 2]}
    assert unstructure(TransformArgs())["random_flip"] == {
        "horizontal_prob": 0.5,
        "vertical_prob": 0.0,
    }


@pytest.mark.parametrize(
    "cls", [TransformArgs, MultiCropTransformArgs, GlobalView1Args, CallbacksArgs, AdamWArgs]
)
def test_round_trip(cls):
    made = cls()
    assert structure(unstructure(made), cls, path="config") == made


def test_problems_of_several_lines_stay_together():
    error = ConfigError.of(["unknown method 'x'\n  known: y", "b"])
    assert str(error) == "2 settings are wrong:\n  unknown method 'x'\n    known: y\n  b"
