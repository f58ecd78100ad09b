"""Every script in `examples/` says how it is used, and does nothing else then."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))
SCRIPTS = [file for file in FILES if "if __name__ ==" in file.read_text("utf-8")]


@pytest.fixture
def ask_for_help(monkeypatch, capsys, tmp_path):
    """Run a script with ``--help`` in this process; return exit code, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def ask(script):
        monkeypatch.setattr(sys, "argv", [str(script), "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return ask


def test_every_script_prints_help(ask_for_help, tmp_path):
    wrong = {}
    for script in SCRIPTS:
        purpose = ast.get_docstring(ast.parse(script.read_text("utf-8"))).partition("\n")[0]
        code, output, errors = ask_for_help(script)
        text = " ".join(output.split())
        right = text.startswith(f"usage: {script.name} [-h]") and purpose in text
        if code not in (0, None) or errors or not right:
            wrong[script.name] = (code, output, errors)
    assert len(SCRIPTS) > 10
    assert wrong == {}
    assert list(tmp_path.iterdir()) == []


def test_every_other_file_is_used_by_a_script():
    imported = {
        name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in [node.module]
    }
    assert [file.name for file in FILES if file not in SCRIPTS and file.stem not in imported] == []


@pytest.mark.parametrize(
    "script", ["continue_pretraining", "loading_speed", "step_speed", "subset"]
)
def test_help_comes_before_what_is_slow_to_import(script, monkeypatch, ask_for_help):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    code, output, _ = ask_for_help(EXAMPLES / f"{script}.py")
    assert code == 0
    assert output.startswith("usage:")
