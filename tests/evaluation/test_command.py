"""`lightly evaluate`: its table, and its answers to mistakes."""

import json
import math

import pytest

from lightly_core.cli import settings_words
from lightly_core.cli.main import main
from lightly_core.plugins import discovery

DIGITS = "builtin:digits"


@pytest.fixture
def with_toys(monkeypatch, catalog):
    """Let the command find the library ``toy``; it searches for plugins at each start."""
    monkeypatch.setattr(settings_words, "use_plugins", lambda options: None)
    monkeypatch.setattr(discovery.get_plugins(), "catalog", catalog)


@pytest.mark.slow
def test_the_command_shows_a_table(with_toys, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["model=toy/net", f"data={DIGITS}", "image_size=16", "num_workers=0", f"out={out}"]
    assert main(["evaluate", *words, "knn.k=[5, 2000]", "linear=false", "retrieval=true"]) == 0
    shown = capsys.readouterr().out
    found = json.loads(out.read_text())["results"]
    top1 = found[0]["top1"]
    rate = (359 * top1 + 1) / 361
    accuracy = f"{100 * top1:.2f} ± {100 * math.sqrt(rate * (1 - rate) / 361):.2f} %"
    for text in ("knn k=5", accuracy, "mAP", "359 images classified"):
        assert text in shown
    assert "359 classified images are too few to tell differences below" in shown
    assert "note: knn k=2000: k reduced from 2000 to the number of images, 1438" in shown
    assert f"written to {out}" in shown.replace("\n", "")
    assert found[0]["model"]["model"] == "toy/net"


def test_the_command_answers_mistakes(capsys):
    assert main(["evaluate", "model=toy/net", f"data={DIGITS}", "knnn=true"]) == 2
    assert "unknown key 'knnn', did you mean 'knn'?" in capsys.readouterr().err
