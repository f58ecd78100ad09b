import importlib.util

from lightly_core.testing import parametrize_checks, plugin_checks

HAS_RAY = importlib.util.find_spec("ray") is not None


# P4 imports the launcher, which is refused where Ray is not installed.
@parametrize_checks([check for check in plugin_checks("ray") if HAS_RAY or check.code != "P4"])
def test_contract(check):
    check()
