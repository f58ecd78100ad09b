"""What holds for every setting of every option class."""

import math
from contextlib import suppress

from attrs.exceptions import FrozenInstanceError

from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.config.options.fields import group_class, settings_fields
from lightly_core.config.options.optim import AdamArgs, AdamWArgs, LARSArgs, SGDArgs
from lightly_core.config.options.settings import JsonlArgs, RunConfig, TensorBoardArgs
from lightly_core.config.options.transform import MultiCropTransformArgs
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError


def all_groups():
    tops = (
        RunConfig,
        MultiCropTransformArgs,
        CallbacksArgs,
        AdamWArgs,
        AdamArgs,
        SGDArgs,
        LARSArgs,
    )
    groups = [*tops, TensorBoardArgs, JsonlArgs]
    for cls in groups:
        inner = [group_class(field.type) for field in settings_fields(cls)]
        groups += [group for group in inner if group is not None and group not in groups]
    return groups


FIELDS = [(cls, field) for cls in all_groups() for field in settings_fields(cls)]
NAMES = [(cls, field.name) for cls, field in FIELDS]


def problems_of(value, cls):
    """Return what is said of a value; nothing if it is taken."""
    try:
        structure(value, cls, path="config")
    except ConfigError as error:
        return error.problems
    return ()


def misspelled(name):
    """Return the name with its last letter doubled, with two letters swapped, and in capitals."""
    doubled, capitals = name + name[-1], name.upper()
    swapped = name[:2] + name[3:4] + name[2:3] + name[4:]
    return {doubled, swapped if len(name) > 4 else capitals, capitals} - {name}


def test_the_loops_below_see_the_nested_classes():
    names = {cls.__name__ for cls, _ in FIELDS}
    assert {"RandomResizeArgs", "LocalViewArgs", "SolarizeArgs", "KnnArgs"} <= names
    assert len(FIELDS) > 100


def test_a_misspelled_setting_is_answered_with_the_right_one():
    cases = [(cls, name, word) for cls, name in NAMES for word in misspelled(name)]
    assert len(cases) > 2.5 * len(FIELDS)
    unanswered = [
        (cls.__name__, word)
        for cls, name, word in cases
        if f"config: unknown key '{word}', did you mean '{name}'?"
        not in problems_of({word: 1}, cls)
    ]
    assert not unanswered, unanswered


def test_a_wrong_type_is_answered_with_path_and_type():
    unanswered = []
    for cls, name in NAMES:
        lines = [line for line in problems_of({name: {1, 2}}, cls) if "{1, 2} (set)" in line]
        if [line.startswith(f"config.{name}: expected ") for line in lines] != [True]:
            unanswered.append((cls.__name__, name, lines))
    assert not unanswered, unanswered


def test_nan_and_infinities_are_refused():
    taken = []
    for cls, name in NAMES:
        for value in (math.nan, math.inf, -math.inf):
            lines = problems_of({name: value}, cls)
            if not any(line.startswith(f"config.{name}: ") for line in lines):
                taken.append((cls.__name__, name, value))
    assert not taken, taken


def test_no_setting_can_be_changed_after_it_was_checked():
    open_fields = []
    for cls, field in FIELDS:
        with suppress(FrozenInstanceError):
            setattr(object.__new__(cls), field.name, None)
            open_fields.append((cls.__name__, field.name))
    assert open_fields == []


def test_every_field_has_a_help_text():
    missing = [(cls, field.name) for cls, field in FIELDS if len(field.metadata["help"]) <= 3]
    assert not missing, missing
