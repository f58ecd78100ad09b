"""The scripts of `lightly completion` in real shells."""

import os
import shutil
import subprocess
import sys

import pytest

from lightly_core.cli.completion_scripts import SCRIPTS

pytestmark = pytest.mark.processes

_BASH = r"""
source "$SCRIPT"
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_LINE="$LINE"
COMP_POINT=${#LINE}
read -ra COMP_WORDS <<< "$LINE"
_lightly
printf '%s|' "${COMPREPLY[@]}"
complete -p lightly
"""
#: Runs the completion function without a terminal: the words and a `compadd` that prints.
_ZSH = """
compdef() { }
source "$SCRIPT"
compadd() {
    local -a shown
    while [[ $1 == -* ]]; do
        case $1 in (-S|-d) shift 2 ;; (-a) shift; break ;; (*) shift ;; esac
    done
    print -rn -- "${(j:|:)${(P)1}}|"
}
words=("${(@s: :)LINE}")
CURRENT=${#words}
PREFIX=${words[CURRENT]}
_lightly
"""


@pytest.fixture
def complete(tmp_path):
    """Complete a line in a shell; gives what it would insert."""
    (tmp_path / "lightly").write_text(f'#!/bin/sh\nexec {sys.executable} -m lightly_core "$@"\n')
    (tmp_path / "lightly").chmod(0o755)
    (tmp_path / "images").mkdir()

    def complete(shell, program, line):
        script = tmp_path / "script"
        script.write_text(SCRIPTS[shell])
        environment = {**os.environ, "SCRIPT": str(script), "LINE": line}
        environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            [shell, *program], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.stderr == ""
        return done.stdout

    return complete


LINES = [
    ("lightly be", "benchmark", "benchmark "),
    ("lightly run epo", "epochs=", "epochs="),
    ("lightly run optim=l", "optim=lars", "lars "),
    ("lightly run method=simclr method_args.temp", "method_args.temperature=", None),
    ("lightly run data=im", "data=images/", "images/"),
    ("lightly run data=builtin:d", "data=builtin:digits", "digits "),
]


@pytest.mark.parametrize(("line", "word", "reply"), LINES)
def test_bash(complete, line, word, reply):
    out = complete("bash", ["--norc", "-c", _BASH], line)
    assert out == f"{reply or word}|complete -o nospace -F _lightly lightly\n"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(("line", "word", "reply"), LINES)
def test_zsh(complete, line, word, reply):
    out = complete("zsh", ["-f", "-c", _ZSH], line)
    assert [text for text in out.split("|") if text] == [word]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("line", "word", "reply"), LINES)
def test_fish(complete, line, word, reply):
    out = complete("fish", ["--no-config", "-c", 'source $SCRIPT; complete -C "$LINE"'], line)
    assert [text.split("\t")[0] for text in out.splitlines()] == [word]
