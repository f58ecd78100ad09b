"""Runs in W&B's offline mode. What was recorded is read back by W&B's own messages."""

import json
import struct

import pytest

import lightly_core
from lightly_core.testing import TinyConv
from lightly_wandb.config import WandbArgs
from lightly_wandb.logger import WandbLogger

pytestmark = pytest.mark.processes  # W&B starts one

BLOCK = 32768


def records(file):
    """Yield the records of a file: LevelDB's log format with a head of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, whole = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", content, position)
        whole += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # complete, or its last part
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def items(values):
    return {".".join(v.nested_key) or v.key: json.loads(v.value_json) for v in values}


def run(tmp_path, **settings):
    loggers = {"wandb": {"mode": "offline", "project": "p", "prefix": "x/", "log_model": True}}
    return lightly_core.pretrain(
        out=tmp_path / "out",
        data="builtin:digits",
        model=TinyConv(),
        method="simclr",
        batch_size=512,
        transform_args={"image_size": 16},
        accelerator="cpu",
        loggers=loggers,
        callbacks={"knn": None, "signals": None},
        trainer_args={"log_every_n_steps": 1},
        **settings,
    )


def test_an_offline_run_holds_all_that_the_run_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr("sys.argv", ["lightly", "loggers.x=http://user:secret@host"])
    result = run(tmp_path, epochs=2)
    (file,) = result.folder.glob("loggers/wandb/offline-run-*/run-*.wandb")
    found = list(records(file))
    rows = [items(r.history.item) for r in found if r.WhichOneof("record_type") == "history"]
    expected = [json.loads(line) for line in (result.folder / "metrics.jsonl").open()]
    sent = {row["_step"]: row["x/train_loss"] for row in rows if "x/train_loss" in row}
    assert sent == {row["step"]: row["train_loss"] for row in expected}
    assert len(sent) == 6
    assert any(name.startswith("augmentations") for row in rows for name in row)
    config = {}
    for record in found:
        if record.WhichOneof("record_type") == "config":
            config.update(items(record.config.update))
        elif record.WhichOneof("record_type") == "run":
            assert record.run.project == "p"
    assert config["batch_size"] == 512
    assert config["method_args.temperature"] == 0.2  # in short runs
    summary = [items(r.summary.update) for r in found if r.HasField("summary")]
    assert {"status": "finished"} in summary
    (end,) = [r.exit.exit_code for r in found if r.HasField("exit")]
    assert end == 0
    for path in result.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"k" * 40 not in content, path
            assert b"user:secret" not in content, path


def test_a_resumed_run_has_the_same_id_and_repeats_no_step(tmp_path):
    args = WandbArgs(mode="offline")
    for resume_step, steps, status in ((None, (0, 10, 20), "failed"), (10, (20, 30), "finished")):
        logger = WandbLogger(args, tmp_path, resume_step)
        logger.log_config({"epochs": 3})
        for step in steps:
            logger.log_metrics({"train_loss": 1 / (1 + step)}, step)
        logger.finish(status)
    files = sorted(
        tmp_path.glob("loggers/wandb/offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_ctime
    )
    assert len({file.name for file in files}) == 1
    ends, steps = [], []
    for file in files:
        for record in records(file):
            if record.WhichOneof("record_type") == "history":
                steps.append(items(record.history.item)["_step"])
            if record.WhichOneof("record_type") == "exit":
                ends.append(record.exit.exit_code)
    assert ends == [1, 0]
    assert steps == [0, 10, 20, 30]
