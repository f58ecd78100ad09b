"""Texts that fit a terminal."""

import itertools
import re

import pytest

from lightly_core.terminal import definitions, fit, fold

WIDTHS = range(24, 130, 7)
TEXT = "Pull views of lightly_methods.contrastive.simclr:SimCLR together, https://arxiv.org/abs/1"


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_are_not_wider_and_lose_nothing(width):
    lines = fold(TEXT, width, first="- ", rest="   ")
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines)[2:].split()) == "".join(TEXT.split())
    for line, following in itertools.pairwise(lines):
        # Either a word ends here, or the line ends with a sign that a long word may be broken at.
        is_end = f"{line.split()[-1]} {following.split()[0]}" in TEXT
        assert is_end or re.search(r"[/.:,=_|-]$", line)


def test_a_word_without_signs_is_never_cut():
    assert fold(f"a {'x' * 50} b", 24) == ["a", "x" * 50, "b"]


def test_paragraphs_are_joined_and_examples_are_kept():
    text = "One two three\nfour.\n\n  lightly run out=out\n\nEnd."
    assert fit(text, 40) == ["One two three four.", "", "  lightly run out=out", "", "End."]


def test_a_command_that_is_too_long_can_still_be_copied():
    lines = fit("  lightly run out=out data=images model=torchvision/resnet18", 30)
    assert lines == [
        "  lightly run out=out \\",
        "      data=images \\",
        "      model=torchvision/resnet18",
    ]
    assert max(map(len, lines)) <= 33  # the last word alone is longer


@pytest.mark.parametrize("width", [24, 40, 100])
def test_meanings_are_beside_names_or_below_them(width):
    pairs = [("run", "pretrain a backbone on your images"), ("benchmark", "run a suite")]
    lines = definitions(pairs, width)
    assert max(map(len, lines)) <= width
    assert (
        " ".join(" ".join(lines).split())
        == "run pretrain a backbone on your images benchmark run a suite"
    )
