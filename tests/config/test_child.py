import multiprocessing
import subprocess
import sys

import pytest

import lightly_core
from lightly_core.config.reading.child import ALLOW_VARIABLE, refuse_in_child, refuse_unguarded
from lightly_core.errors import ConfigError

ENTRIES = {
    "pretrain": {"data": "d", "model": "m"},
    "embed": {"data": "d", "model": "m"},
    "evaluate": {"data": "d", "model": "m"},
    "benchmark": {"suite": "s.toml"},
}


def call_entries(out, connection):
    for name, arguments in ENTRIES.items():
        try:
            getattr(lightly_core, name)(out=str(out), **arguments)
        except ConfigError as error:
            connection.send((name, str(error)))


def test_every_entry_function_refuses_in_a_forked_child(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=call_entries, args=(tmp_path / "out", theirs))
    child.start()
    found = dict(ours.recv() for _ in ENTRIES)
    child.join()
    for name, message in found.items():
        assert f"{name}() was called in '{child.name}'" in message
        assert 'if __name__ == "__main__":' in message
    assert list(tmp_path.iterdir()) == []


def pass_or_not(connection):
    try:
        refuse_in_child("pretrain")
        connection.send("passed")
    except ConfigError as error:
        connection.send(str(error))


@pytest.mark.parametrize(("daemon", "passes"), [(False, True), (True, False)])
def test_a_child_that_is_meant_passes_if_the_environment_says_so(monkeypatch, daemon, passes):
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=pass_or_not, args=(theirs,), daemon=daemon)
    child.start()
    assert (ours.recv() == "passed") is passes
    child.join()


UNGUARDED = """
import multiprocessing, sys
from lightly_core.config.reading.child import refuse_in_child
refuse_in_child("embed")
print("first")
child = multiprocessing.get_context(sys.argv[1]).Process(target=print, args=("never",))
child.start()
child.join()
print("child", child.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_imports_the_script_again_is_refused(tmp_path, method):
    script = tmp_path / "train.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True)
    assert done.stdout == "first\nchild 1\n"
    assert "embed() was called again in a new process, which imports 'train.py'" in done.stderr


CALLS = {
    "pass": 0,
    "refuse_unguarded('fork')": 0,
    "refuse_unguarded('spawn')": 1,
    "def main():\n    refuse_unguarded('forkserver')\nmain()": 1,
    "try:\n    refuse_unguarded('spawn')\nfinally:\n    pass": 1,
    "if __name__ == '__main__':\n    refuse_unguarded('spawn')": 0,
    "def main():\n    refuse_unguarded('spawn')\nif 1 and '__main__' == __name__:\n    main()": 0,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_script_is_refused_where_its_workers_would_run_it_again(tmp_path, call):
    script = tmp_path / "train.py"
    script.write_text(f"from lightly_core.config.reading.child import refuse_unguarded\n{call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == CALLS[call], done.stderr
    if CALLS[call]:
        assert "import 'train.py' again" in done.stderr
        line = call.splitlines()[-1 if call.startswith("def") else call.count("try")].strip()
        assert f'if __name__ == "__main__":\n        {line}\n' in done.stderr


def test_calls_from_other_modules_are_no_scripts():
    refuse_unguarded("spawn")
