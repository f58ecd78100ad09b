import sys
import types

import pytest

from lightly_core.cli.main import main
from lightly_core.plugins import discovery


@pytest.fixture
def run(capsys):
    """Call the command line in this process; gives exit code, stdout and stderr."""

    def call(*arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    yield call
    discovery.configure()


@pytest.fixture
def training(monkeypatch):
    """Stand in for the function that trains; records its arguments, raises `error` if set."""
    calls = types.SimpleNamespace(arguments=[], error=None)

    def pretrain_from_command_line(config_file, pairs, *, dry_run, build):
        calls.arguments.append((config_file, list(pairs), "build" if build else dry_run or False))
        if calls.error is not None:
            raise calls.error

    module = types.ModuleType("lightly_core.api")
    module.pretrain_from_command_line = pretrain_from_command_line
    monkeypatch.setitem(sys.modules, "lightly_core.api", module)
    return calls
