"""Small data sets in folders of their own, and no hub."""

import pytest
from datasets import ClassLabel, Dataset, Features, Image
from pictures import picture


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """What is prepared stays out of the user's caches."""
    monkeypatch.setenv("LIGHTLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True, raising=False)


@pytest.fixture
def dataset():
    """Nine images of three classes; the fifth row has none."""
    features = Features({"picture": Image(), "kind": ClassLabel(names=["a", "b", "c"])})
    images = [{"bytes": picture(row), "path": None} if row != 5 else None for row in range(9)]
    kinds = [row % 3 for row in range(9)]
    return Dataset.from_dict({"picture": images, "kind": kinds}, features=features)
