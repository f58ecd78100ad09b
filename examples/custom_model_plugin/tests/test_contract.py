import lightly_core
from lightly_core.testing import parametrize_checks, plugin_checks, wrapper_checks


def tinynet():
    return lightly_core.get_wrapped_model("acme/tinynet")


@parametrize_checks([*plugin_checks("acme"), *wrapper_checks(tinynet)])
def test_contract(check):
    check()
