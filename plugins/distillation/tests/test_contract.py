import pytest

from lightly_core.config.options.settings import PythonObject
from lightly_core.testing import method_checks, parametrize_checks, plugin_checks
from lightly_core.testing.models import TinyConv, TinyTokens

CONV = {"teacher": PythonObject(TinyConv(feature_dim=24)), "teacher_precision": "fp32"}
TOKENS = {"teacher": PythonObject(TinyTokens(feature_dim=24)), "teacher_precision": "fp32"}


@parametrize_checks(plugin_checks("distillation"))
def test_plugin(check):
    check()


# A queue of one batch, and images as they are: the loss of each step is then that of one problem.
@pytest.mark.slow
@parametrize_checks(
    method_checks("distillationv1", method_args={**CONV, "mixup": False, "queue_size": 8})
)
def test_v1(check):
    check()


@parametrize_checks(method_checks("distillationv2", method_args={**TOKENS, "mixup": False}))
def test_v2(check):
    check()


@pytest.mark.slow
@parametrize_checks(
    method_checks("distillationv3", method_args={**TOKENS, "mixup": False, "queue_size": 8})
)
def test_v3(check):
    check()


@pytest.mark.parametrize("name", ["distillationv1", "distillationv2", "distillationv3"])
@pytest.mark.parametrize("code", ["M5", "M6"])
def test_with_mixup_too(name, code):
    (check,) = [c for c in method_checks(name, method_args=CONV) if c.code == code]
    check()
