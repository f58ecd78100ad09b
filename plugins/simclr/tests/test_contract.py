from pathlib import Path

import pytest

from lightly_core.config.keyvalue import read_toml
from lightly_core.testing import method_checks, parametrize_checks, plugin_checks

METHODS = read_toml(Path(__file__).with_name("methods.toml"))


def checks_of(name):
    args, fit_args = METHODS[name]["args"], METHODS[name].get("fit_args", {})
    for check in method_checks(name, method_args=args):
        if check.code != "M2":
            yield check
    fitting = method_checks(name, method_args={**args, **fit_args})
    yield from (check for check in fitting if check.code == "M2")


@parametrize_checks(plugin_checks("simclr"))
def test_plugin(check):
    check()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.code}")
        for name in METHODS
        for check in checks_of(name)
    ],
)
def test_contract(check):
    check()


def test_every_method_is_checked(registered_methods):
    assert set(METHODS) == registered_methods
