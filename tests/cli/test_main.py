import errno
import io
import os
import subprocess
import sys

import pytest

from lightly_core import __version__
from lightly_core.errors import (
    ConfigError,
    DataError,
    LightlyError,
    PluginError,
    RunError,
    RunInterrupted,
    UnknownModelError,
)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("--strict-plugins",)])
def test_without_a_command_the_help_is_printed(run, arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: lightly COMMAND ...")
    for command in ("run", "methods", "models", "plugins", "plugin"):
        assert f"\n  {command} " in out
    assert "`lightly completion install`" in out


@pytest.mark.parametrize("arguments", [("--version",), ("-V",), ("run", "--version")])
def test_version(run, arguments):
    assert run(*arguments) == (0, f"lightly-core {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("method",), "error: unknown command 'method', did you mean 'methods'?\n"),
        (("xyz",), "error: unknown command 'xyz'\n  commands are:"),
        (("trian",), "error: unknown command 'trian', did you mean 'pretrain'?\n"),
        (("run",), "error: no settings; out, data and model are required. For example:\n"),
        (("epochs=3",), "error: expected a command, got the setting 'epochs=3'\n"),
        (("--hepl",), "error: unknown option '--hepl', did you mean '--help'?\n"),
        (("models", "--jsn"), "error: unknown option '--jsn', did you mean '--json'?\n"),
        (("models", "a", "b"), "error: unknown argument 'b'\n"),
        (("methods", "--js"), "error: unknown option '--js'"),
        (("plugins", "--no-plugin"), "error: argument --no-plugin: expected one argument\n"),
        (("run", "--config"), "error: argument --config: expected one argument\n"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_one_message(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "methods", "models", "plugins", "plugin"])
def test_every_command_has_help_with_the_options_of_all_commands(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: lightly {command}")
    assert "--no-plugin NAME" in out


# ---------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((ConfigError, 2), (UnknownModelError, 2), (PluginError, 2), (DataError, 2)),
        *((RunError, 1), (LightlyError, 1)),
    ],
)
def test_errors_for_users_are_one_message_without_traceback(run, training, error, code):
    training.error = error("what happened\n  what to do")
    assert run("run", "out=a") == (code, "", "error: what happened\n  what to do\n")


def test_unexpected_errors_say_whose_code_raised_them(run, training):
    training.error = RuntimeError("boom")
    code, out, err = run("run", "out=a")
    assert (code, out) == (1, "")
    first, whose, how = err.splitlines()
    assert first == "error: unexpected RuntimeError: boom"
    assert whose.startswith("  raised in ")
    assert "tests/cli/conftest.py, line " in whose
    assert how == "  add --traceback to see where it was raised"


def test_errors_of_the_system_are_told_in_words(run, training):
    training.error = OSError(errno.ENOSPC, "No space left on device", "/data/last.ckpt")
    code, _, err = run("run", "out=a")
    assert code == 1
    assert err.startswith("error: '/data/last.ckpt': the disk is full; free some space")


@pytest.mark.parametrize("error", [ConfigError("wrong"), RuntimeError("boom")])
@pytest.mark.parametrize(
    "arguments", [("--traceback", "run", "out=a"), ("run", "out=a", "--traceback")]
)
def test_traceback_shows_where(run, training, error, arguments):
    training.error = error
    _, _, err = run(*arguments)
    assert err.startswith("Traceback (most recent call last)")
    assert "in pretrain_from_command_line" in err
    assert "add --traceback" not in err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt(), "interrupted\n"),
        (RunInterrupted("stopped; go on with x"), "stopped; go on with x\n"),
    ],
)
def test_interruptions_end_with_130(run, training, error, message):
    training.error = error
    assert run("run", "out=a") == (130, "", message)


def test_a_broken_pipe_during_training_is_not_hidden(run, training):
    training.error = BrokenPipeError("worker gone")
    code, _, err = run("run", "out=a")
    assert code == 1
    assert "unexpected BrokenPipeError: worker gone" in err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("plugins",), ("run", "--help")])
def test_a_reader_that_leaves_causes_no_message(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "lightly_core.cli", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LIGHTLY_PLUGINS": "", "PYTHONUNBUFFERED": ""},
    )
    os.close(writer)
    assert "BrokenPipe" not in result.stderr
    assert "error" not in result.stderr


@pytest.mark.parametrize("module", ["lightly_core.cli", "lightly_core"])
def test_the_module_runs_as_a_program(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "nonsense"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: unknown command 'nonsense'")


def test_a_table_is_wrapped_to_the_terminal(monkeypatch):
    from lightly_core.cli.table import print_table

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", screen)
    print_table(("A", "B"), [("x", "word " * 12)])
    lines = screen.getvalue().splitlines()
    assert lines[0] == "A  B"
    assert lines[1].startswith("x  word")
    assert lines[2].startswith("   word")
    assert max(map(len, lines)) <= 40
