"""Lists and help texts fit the terminal, and cut no word."""

import io
import re
import sys

import pytest

from lightly_core.cli.main import main

WIDTHS = (40, 57, 80, 120, 250)
COMMANDS = [
    *("--help", "methods", "methods mae", "methods distillation", "models"),
    *("models torchvision/resnet18", "models timm/resnet18", "models --help", "plugins"),
    *("plugins torchvision", "plugins -v", "formats", "run --help", "run method=dinov2 --help"),
    *("embed --help", "benchmark --help", "runs --help", "plugin --help", "completion --help"),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    def show(command, width):
        screen = Terminal()
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", screen)
        assert main(command.split()) == 0
        monkeypatch.undo()
        return screen.getvalue()

    return show


def times_removed(text):
    return re.sub(r"\s*imported\s+in\s+[\d.]+\s+ms", "", text)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_cut(show, command):
    widest = times_removed(show(command, 1000)).replace(" \\\n", "\n")
    words = set(widest.split())
    for width in WIDTHS:
        text = times_removed(show(command, width)).replace(" \\\n", "\n")
        for line in text.splitlines():
            assert len(line) <= width or len(line.split()) == 1, (width, line)
        found = text.split()
        for before, word, after in zip(["", *found], found, [*found[1:], ""], strict=False):
            is_part = before[-1:] in "/.:,=_|-" or word[-1:] in "/.:,=_|-" or not after
            assert word in words or is_part, (width, word)
        assert "".join(found) == "".join(widest.split()), width


def test_a_table_of_runs_fits(show, tmp_path):
    (tmp_path / "a_run_with_a_rather_long_name_of_its_own").mkdir()
    (tmp_path / "a_run_with_a_rather_long_name_of_its_own/train.log").write_text("x")
    for width in WIDTHS:
        lines = show(f"runs {tmp_path}", width).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("NAME")


@pytest.mark.parametrize("command", ["methods", "formats", "plugins"])
def test_in_a_pipe_each_row_is_one_line(run, command):
    code, out, _ = run(command)
    assert code == 0
    first = [line.split()[0] for line in out.splitlines()]
    assert len(first) == len(set(first))
    assert all(not line.startswith(" ") for line in out.splitlines())
