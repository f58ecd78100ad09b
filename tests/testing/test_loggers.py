import pytest
from chosen_checks import run_checks

from lightly_core.config.options.settings import JsonlArgs, TensorBoardArgs
from lightly_core.contracts import Logger
from lightly_core.engine.loggers.jsonl import JsonlLogger
from lightly_core.engine.loggers.tensorboard import TensorBoardLogger
from lightly_core.testing import logger_checks, parametrize_checks


class Lines(Logger):
    def __init__(self, folder):
        self.file = (folder / "lines.txt").open("w")

    def log_metrics(self, metrics, step):
        self.file.write(f"{step} {dict(metrics)}\n")

    def log_image(self, name, image, step):
        self.file.write(f"{step} {name} {image.shape}\n")

    def finish(self, status):
        self.file.close()


@parametrize_checks(logger_checks(Lines))
def test_a_sound_logger_holds_the_contract(check):
    check()


@parametrize_checks(logger_checks(lambda folder: JsonlLogger(JsonlArgs(), folder, None)))
def test_jsonl_holds_the_contract(check):
    check()


@parametrize_checks(
    logger_checks(lambda folder: TensorBoardLogger(TensorBoardArgs(), folder, None))
)
def test_tensorboard_holds_the_contract(check):
    check()


class OnlyRisingSteps(Lines):
    last = -1

    def log_metrics(self, metrics, step):
        if step <= self.last:
            raise RuntimeError("step again")
        self.last = step


class FlatConfig(Lines):
    def log_config(self, config):
        for value in config.values():
            if isinstance(value, dict):
                raise TypeError("nested")


class SquareImages(Lines):
    def log_image(self, name, image, step):
        if image.shape[0] != image.shape[1]:
            raise ValueError("not square")


class ClosesOnce(Lines):
    def finish(self, status):
        if self.file.closed:
            raise RuntimeError("closed before")
        self.file.close()


@pytest.mark.parametrize(
    ("code", "logger", "message"),
    [
        ("L1", OnlyRisingSteps, "step again"),
        ("L2", FlatConfig, "nested"),
        ("L3", SquareImages, "not square"),
        ("L4", ClosesOnce, "closed before"),
    ],
)
def test_check_finds_the_fault(code, logger, message):
    with pytest.raises(Exception, match=message):
        run_checks(logger_checks(logger), code)
