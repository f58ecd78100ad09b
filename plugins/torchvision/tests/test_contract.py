import lightly_core
from lightly_core.testing import parametrize_checks, plugin_checks, wrapper_checks


def resnet():
    return lightly_core.get_wrapped_model("torchvision/resnet18")


@parametrize_checks([*plugin_checks("torchvision"), *wrapper_checks(resnet)])
def test_contract(check):
    check()
