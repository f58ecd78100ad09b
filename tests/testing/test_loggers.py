import attrs
import pytest
from chosen_checks import run_checks

from lightly_core.config.options.settings import JsonlArgs, TensorBoardArgs
from lightly_core.contracts import Logger
from lightly_core.engine.loggers.jsonl import JsonlLogger
from lightly_core.engine.loggers.tensorboard import TensorBoardLogger
from lightly_core.engine.remote import RemoteLogger
from lightly_core.testing import logger_checks, parametrize_checks, without_server


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


def jsonl(folder, resume_step=None):
    return JsonlLogger(JsonlArgs(), folder, resume_step)


@parametrize_checks(logger_checks(jsonl, jsonl))
def test_jsonl_holds_the_contract(check):
    check()


def tensorboard(folder, resume_step=None):
    return TensorBoardLogger(TensorBoardArgs(), folder, resume_step)


@parametrize_checks(logger_checks(tensorboard, tensorboard))
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


class GlobsFiles(Lines):
    def log_artifact(self, path):
        (_found,) = path.parent.glob(path.name)


class KeepsModel(Lines):
    def log_model(self, model):
        raise TypeError("cannot pickle")


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
        ("L5", GlobsFiles, "not enough values"),
        ("L6", KeepsModel, "cannot pickle"),
    ],
)
def test_check_finds_the_fault(code, logger, message):
    with pytest.raises(Exception, match=message):
        run_checks(logger_checks(logger), code)


def test_check_finds_a_logger_that_cannot_continue():
    def resumed(folder, step):
        raise FileExistsError("lines.txt")

    with pytest.raises(FileExistsError):
        run_checks(logger_checks(Lines, resumed), "L7")


def test_a_logger_without_its_server_holds_the_contract():
    class ToServer(RemoteLogger):
        name = "acme"

        @classmethod
        def make_destination(cls, config, folder):
            raise AssertionError("a check must not connect")

    def build(folder, resume_step=None):
        return without_server(ToServer)(ToServerArgs(), folder, resume_step)

    run_checks(logger_checks(build, build))


@attrs.frozen
class ToServerArgs:
    finish_timeout: float = 5.0
