"""Run folders as files, without a run."""

import json

import pytest


@pytest.fixture
def run_folder(tmp_path):
    """Write a run folder; return its path."""

    def write(name="run", *, lines=(), config=None, record=None):
        folder = tmp_path / name
        (folder / "report_data").mkdir(parents=True)
        (folder / "config.json").write_text(
            json.dumps(config or {"method": "simclr", "model": "a/b"})
        )
        if lines:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / "metrics.jsonl").write_text(text)
        if record is not None:
            (folder / "report_data/run.json").write_text(json.dumps(record))
        return folder

    return write
