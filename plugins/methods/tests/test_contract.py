from pathlib import Path

import pytest

from lightly_core.config.reading.keyvalue import read_toml
from lightly_core.testing import method_checks, parametrize_checks, plugin_checks

# One of each kind: embeddings, a teacher, prototypes, patches, negatives, a queue.
FIRST = ("vicreg", "byol", "swav", "mae", "msn", "simclr", "mocov2")
# M2 takes twenty steps, M8 steps with images in full size.
LONG = ("M2", "M8")
METHODS = read_toml(Path(__file__).with_name("methods.toml"))


def circle(name, code):
    """Marks of a check: the second circle has most of them."""
    return () if name in FIRST and code not in LONG else pytest.mark.families


@parametrize_checks(plugin_checks("methods"))
def test_plugin(check):
    check()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.code}", marks=circle(name, check.code))
        for name, small in METHODS.items()
        for check in method_checks(name, method_args=small["args"], fit_args=small.get("fit_args"))
    ],
)
def test_contract(check):
    check()


def test_every_method_is_checked(registered_methods):
    assert set(METHODS) == registered_methods
