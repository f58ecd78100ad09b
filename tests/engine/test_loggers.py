import json
import logging

import numpy as np

from lightly_core.config.options.settings import JsonlArgs, TensorBoardArgs
from lightly_core.contracts import Logger
from lightly_core.engine.loggers.fanout import Fanout
from lightly_core.engine.loggers.jsonl import JsonlLogger
from lightly_core.engine.loggers.tensorboard import TensorBoardLogger


class Broken(Logger):
    def __init__(self):
        self.calls = 0

    def log_metrics(self, metrics, step):
        self.calls += 1
        raise OSError("server is gone")


def test_a_logger_that_fails_is_reported_once_and_switched_off(tmp_path, caplog):
    broken = Broken()
    fanout = Fanout({"broken": broken, "jsonl": JsonlLogger(JsonlArgs(), tmp_path, None)})
    with caplog.at_level(logging.WARNING):
        fanout.log_metrics({"a": 1.0}, 1)
        fanout.log_metrics({"a": 2.0}, 2)
    assert broken.calls == 1
    assert [r.message for r in caplog.records if "'broken' failed" in r.message]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert fanout.names == ["jsonl"]


def test_jsonl_writes_a_line_at_once_and_nan_as_null(tmp_path):
    logger = JsonlLogger(JsonlArgs(), tmp_path, None)
    logger.log_metrics({"train_loss": float("nan"), "lr": 0.1}, 3)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert line == {"step": 3, "train_loss": None, "lr": 0.1}


def test_a_resumed_jsonl_drops_steps_that_are_taken_again_and_cut_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    JsonlLogger(JsonlArgs(), tmp_path, 2).finish("finished")
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_tensorboard_holds_scalars_and_the_picture(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(TensorBoardArgs(prefix="x/"), tmp_path, None)
    logger.log_metrics({"train_loss": 0.5}, 7)
    logger.log_image("augmentations", np.zeros((4, 6, 3), np.uint8), 0)
    logger.log_config({"epochs": 3})
    logger.finish("finished")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    scalar = events.Scalars("x/train_loss")[0]
    assert (scalar.step, scalar.value) == (7, 0.5)
    image = events.Images("augmentations")[0]
    assert (image.height, image.width) == (4, 6)
