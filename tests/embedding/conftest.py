"""Pictures, and a way to call `lightly_core.embed` and to read what it wrote."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import lightly_core


@pytest.fixture
def image_folder(tmp_path):
    """Twelve noisy RGB images of 24 x 32 pixels in two folders."""
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for index in range(12):
        path = folder / ("b" if index % 2 else "a") / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def embed(tmp_path, image_folder, tiny):
    """Call `lightly_core.embed`, with the settings that a test is not about."""

    def call(**changes):
        settings = {
            "model": tiny,
            "data": image_folder,
            "out": tmp_path / "features.npz",
            "image_size": 16,
            "batch_size": 5,
            "num_workers": 0,
            "accelerator": "cpu",
        }
        return lightly_core.embed(**{**settings, **changes})

    return call


@pytest.fixture
def read():
    """Read a file of features: names and an array."""

    def read(path):
        if path.suffix == ".csv":
            with open(path, encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
            columns = [f"embedding_{column}" for column in range(len(header) - 1)]
            assert header == ["filename", *columns]
            return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)
        if path.suffix == ".npz":
            content = np.load(path, allow_pickle=False)
            assert list(content) == ["filenames", "embeddings"]
            return content["filenames"].tolist(), content["embeddings"]
        if path.suffix == ".parquet":
            from pyarrow import parquet

            table = parquet.read_table(path)
            assert table.column_names == ["filename", "embedding"]
            names, values = (table.column(name).to_pylist() for name in table.column_names)
            return names, np.array(values, np.float32)
        content = torch.load(path, weights_only=True)
        assert list(content) == ["filenames", "embeddings"]
        return content["filenames"], content["embeddings"].numpy()

    return read
