import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightly_core.testing import TinyConv

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("evaluate_teachers")


def test_a_row_shows_the_accuracies_of_all_test_images(example, tmp_path):
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "val": 5}.items():
        for number, label in enumerate("ab"):
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 100, (16, 16, 3)) + 150 * number
                file = tmp_path / split / label / f"{index}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    settings = {"model": TinyConv(), "image_size": 16, "num_workers": 0}
    teacher = example.Teacher("tiny", settings, tmp_path, 50.0)
    result = example.measure(teacher, 3, tmp_path / "out")
    assert json.loads((tmp_path / "out/tiny.json").read_text())["results"] == [*result.results]
    assert result.of("knn")["data"]["num_val"] == 10
    cells = [cell.strip() for cell in example.row(teacher, result).split("|")[1:-1]]
    assert cells[:3] == ["tiny", "6", "50.00"]
    assert cells[5] == f"{100 * result.top1('linear'):.2f}"
