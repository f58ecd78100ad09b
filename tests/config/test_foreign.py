"""What users of LightlyTrain and Lightning write: it works, or the answer says what to do."""

import pytest
from attrs import define, field

from lightly_core.config.options.callbacks import CallbacksArgs
from lightly_core.config.options.embed import EmbedConfig
from lightly_core.config.options.foreign import ForeignKey, foreign_keys
from lightly_core.config.options.settings import JsonlArgs, RunConfig, TensorBoardArgs
from lightly_core.config.reading.keyvalue import parse_pairs
from lightly_core.config.reading.structure import structure
from lightly_core.errors import ConfigError

RUN = {"out": "out", "data": "data", "model": "a/b"}


def run(**settings):
    return structure({**RUN, **settings}, RunConfig, path="config")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("bf16", "bf16-mixed"),
        (16, "16-mixed"),
        ("16", "16-mixed"),
        (32, "32-true"),
        ("64", "64-true"),
        ("bf16-true", "bf16-true"),
    ],
)
def test_short_forms_of_a_precision_are_taken(given, meant):
    assert run(precision=given).precision == meant
    assert run(**parse_pairs([f"precision={given}"])).precision == meant


@pytest.mark.parametrize("given", [8, "fp16", True])
def test_other_precisions_are_refused(given):
    with pytest.raises(ConfigError, match=r"config\.precision: expected"):
        run(precision=given)


def test_a_command_that_does_not_compute_in_a_precision_refuses_its_short_form_too():
    common = {"model": "a/b", "out": "x.csv", "data": "data"}
    assert structure({**common, "precision": "bf16"}, EmbedConfig, path="config")
    with pytest.raises(ConfigError, match="expected '32-true'"):
        structure({**common, "precision": 64}, EmbedConfig, path="config")


@pytest.mark.parametrize("given", ["AdamW", "SGD", "LARS", "Auto"])
def test_optimizers_are_named_in_any_case(given):
    assert run(optim=given).optim == given.lower()


@define(frozen=True, kw_only=True)
class Args:
    FOREIGN_KEYS = {"colour": ForeignKey("use size", neutral=(None, True))}

    size: int = field(default=1)


@pytest.mark.parametrize("value", [None, True])
def test_what_happens_anyway_is_accepted(value):
    assert structure({"colour": value}, Args, path="config") == Args()


@pytest.mark.parametrize("value", [False, 1, "red", [None]])
def test_anything_else_is_refused_with_the_reason(value):
    with pytest.raises(ConfigError) as caught:
        structure({"colour": value}, Args, path="config")
    assert str(caught.value) == "config: unknown key 'colour': use size"


def test_no_foreign_key_is_a_setting():
    groups = [
        type(getattr(CallbacksArgs(), name)) for name in ("model_checkpoint", "early_stopping")
    ]
    for cls in (*groups, TensorBoardArgs, JsonlArgs):
        assert foreign_keys(cls)
        assert set(foreign_keys(cls)).isdisjoint(one.name for one in cls.__attrs_attrs__)
