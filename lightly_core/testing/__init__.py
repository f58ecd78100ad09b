"""The conformance kit: checks of plugins, for their authors to run with pytest.

Three lines in a test file run each check as a separate test, here for a plugin that provides a
library of models::

    from lightly_core.testing import model_library_checks, parametrize_checks, plugin_checks

    @parametrize_checks([*plugin_checks("acme"), *model_library_checks("acme")])
    def test_contract(check):
        check()

Without pytest, ``lightly plugin check acme`` runs all checks that apply to a plugin.

====  =============================================  ========================================
P     any plugin                                     `plugin_checks`
N, E  a library of models: its names, its files      `model_library_checks`
W     a model wrapper                                `wrapper_checks`, `model_library_checks`
A     capabilities of a model wrapper                `wrapper_checks`, `model_library_checks`
M     a method                                       `method_checks`, `method_class_checks`
T     a transform                                    `transform_checks`
L     a logger                                       `logger_checks`
F     an export format                               `format_checks`
S     a data source                                  `source_checks`
R     a launcher of the rows of suites               `launcher_checks`
====  =============================================  ========================================

`train_alone_and_together` compares training in 2 and 3 processes with training in one.
`shared_pair` runs any function in two processes, `shared_group` in more. `without_server` replaces
the server of a logger. `TinyConv` and `TinyTokens` are backbones for tests that take milliseconds.
"""

from lightly_core.testing.checks import Check, parametrize_checks
from lightly_core.testing.formats import format_checks
from lightly_core.testing.launchers import launcher_checks
from lightly_core.testing.libraries import (
    ModelExample,
    model_library_checks,
    require_export_round_trip,
)
from lightly_core.testing.loggers import logger_checks, without_server
from lightly_core.testing.method_case import MethodCase
from lightly_core.testing.methods import method_checks, method_class_checks
from lightly_core.testing.models import TinyConv, TinyTokens
from lightly_core.testing.parity import Training, train_alone_and_together
from lightly_core.testing.plugins import plugin_checks
from lightly_core.testing.processes import ProcessGroup, shared_group, shared_pair
from lightly_core.testing.sources import source_checks
from lightly_core.testing.transforms import transform_checks
from lightly_core.testing.wrappers import wrapper_checks

__all__ = [
    "Check",
    "MethodCase",
    "ModelExample",
    "ProcessGroup",
    "TinyConv",
    "TinyTokens",
    "Training",
    "format_checks",
    "launcher_checks",
    "logger_checks",
    "method_checks",
    "method_class_checks",
    "model_library_checks",
    "parametrize_checks",
    "plugin_checks",
    "require_export_round_trip",
    "shared_group",
    "shared_pair",
    "source_checks",
    "train_alone_and_together",
    "transform_checks",
    "without_server",
    "wrapper_checks",
]
