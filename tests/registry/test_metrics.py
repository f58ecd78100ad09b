"""The newest accuracy in a long file, which is read in blocks from its end."""

import json

import pytest

from lightly_core.registry import metrics
from lightly_core.registry.metrics import read_metrics


@pytest.mark.parametrize("block", [40, 64, 97, 1 << 20])
def test_the_last_accuracy_is_found_also_where_it_is_cut_by_a_block(tmp_path, monkeypatch, block):
    monkeypatch.setattr(metrics, "_HEAD_BYTES", 64)
    monkeypatch.setattr(metrics, "_TAIL_BYTES", 64)
    monkeypatch.setattr(metrics, "_BLOCK_BYTES", block)
    path = tmp_path / "metrics.jsonl"
    for place in range(1, 30):
        lines = [{"step": step, "train_loss": 0.5} for step in range(40)]
        lines[0]["knn/top1"], lines[place]["knn/top1"] = 0.25, 0.75
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        found = read_metrics(path)
        assert (found.step, found.knn_before, found.knn_after) == (39, 0.25, 0.75)
