"""The small scripts in `examples/` do what they say, called in this process."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a script with the words of a command line; return the lines that it prints."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def call(script, *words):
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        importlib.import_module(script).main()
        return capsys.readouterr().out.splitlines()

    yield call
    torch.set_num_threads(threads)


def test_the_subset_has_the_first_images_of_every_class(call, tmp_path):
    for label in "ab":
        (tmp_path / "all" / label).mkdir(parents=True)
        for index in range(4):
            (tmp_path / "all" / label / f"{index}.png").write_text(f"{label}{index}")
    assert call("subset", tmp_path / "all", tmp_path / "part", 2) == ["4 images"]
    names = sorted(str(p.relative_to(tmp_path / "part")) for p in tmp_path.glob("part/*/*"))
    assert names == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert (tmp_path / "part/b/1.png").read_text() == "b1"


@pytest.mark.families
def test_the_speed_of_a_step_is_measured_in_both_precisions(call):
    row = call("step_speed", "timm/test_resnet")[-1].split("|")
    assert row[1].strip() == "timm/test_resnet"
    assert all(float(cell.strip().removesuffix(" s")) > 0 for cell in row[2:4])


@pytest.mark.slow
def test_the_speed_of_loading_is_measured_both_ways(call):
    lines = call("loading_speed", 8)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    assert [row[1:3] for row in rows] == [
        [ending, name]
        for ending in ("png", "jpg")
        for name in ("first stage", "with colours", "numbers only", "reading once")
    ]
    rates = [float(row[4].replace(",", "")) for row in rows]
    assert min(rates) > 0


def test_the_memory_of_the_relational_loss_is_measured(call):
    sizes = ("--batch", 2, "--positions", 16, "--widths", 8, "--chunk-sizes", 16)
    (line,) = call("relational_memory", "--one-row", *sizes)
    row = [cell.strip() for cell in line.strip("|").split("|")]
    assert row[:2] == ["8", "16"]
    assert 0 <= float(row[2]) < 50
