"""What holds for all tests, those of the plugins too."""

import gc
import itertools
import logging
import os
import sys
import types
from collections.abc import Iterator
from functools import cache

import pytest

# Some wheels bring a package of this name, ultralytics 8.4.0 for one. pytest would import it as
# the parent of our test modules, and ultralytics with it before its folder is set.
sys.modules.setdefault("tests", types.ModuleType("tests"))


#: After so many tests all garbage is searched for. Python alone does it much more often, and each
#: time looks at all modules, 0.3 s.
TESTS_BETWEEN_SEARCHES = 500
_tests_done = itertools.count(1)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Import Lightning as a run does, and let networks that a file builds be always the same.

    Lightning alone would import all metrics of torchmetrics. torch starts with another seed in each
    process.
    """
    if isinstance(collector, pytest.Module):
        import torch  # not above: the process that hands tests to workers needs no torch

        from lightly_core.engine.lightning_import import import_lightning

        import_lightning()
        torch.default_generator.manual_seed(0)


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of every search for garbage, and loggers of torch few."""
    let_loggers_of_torch_propagate()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def pytest_runtest_logfinish() -> None:
    """Search for garbage now and then, and keep what is left out of later searches."""
    if next(_tests_done) % TESTS_BETWEEN_SEARCHES == 0:
        gc.collect()
        gc.freeze()


def let_loggers_of_torch_propagate() -> None:
    """Let messages of torch reach the root's handlers, as those of other libraries.

    pytest adds its handlers to every logger that does not propagate, six times for each test. torch
    has thirty of them, one for each kind of artifact that its compiler can log.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("torch.") and isinstance(logger, logging.Logger):
            logger.propagate = True


def pytest_sessionfinish() -> None:
    """Leave nothing behind: libraries that count their objects at the end would report leaks."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Let files of tests reach the disk when the system likes. No test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def settings_folder_of_ultralytics(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let ultralytics, which writes its settings wherever it is imported, do so for the tests.

    This holds for every test, for processes that tests start, and where the user has set a folder.
    """
    # Not put back: what runs when the process ends may write settings too.
    os.environ["YOLO_CONFIG_DIR"] = str(tmp_path_factory.mktemp("ultralytics"))


@cache
def has_cuda() -> bool:
    """Return what `torch.cuda.is_available` says, which takes a millisecond at each call."""
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Let every test start with the same numbers of torch's global generators."""
    import torch  # not above: the process that hands tests to workers needs no torch

    if has_cuda():
        torch.manual_seed(0)
    else:  # it notes the whole stack for each device that is not there
        torch.default_generator.manual_seed(0)


@pytest.fixture
def quick_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let large networks be built with weights that repeat a block of random numbers."""
    from quick_numbers import repeat_random_numbers

    repeat_random_numbers(monkeypatch)
