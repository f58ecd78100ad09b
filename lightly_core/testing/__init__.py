"""The conformance kit: what a plugin must hold, as checks that its author runs with pytest."""

from lightly_core.testing.checks import Check, parametrize_checks
from lightly_core.testing.loggers import logger_checks
from lightly_core.testing.methods import MethodCase, method_checks, method_class_checks
from lightly_core.testing.models import TinyConv
from lightly_core.testing.plugins import plugin_checks
from lightly_core.testing.wrappers import wrapper_checks

__all__ = [
    "Check",
    "MethodCase",
    "TinyConv",
    "logger_checks",
    "method_checks",
    "method_class_checks",
    "parametrize_checks",
    "plugin_checks",
    "wrapper_checks",
]
