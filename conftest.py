"""What holds for all tests, those of the plugins too."""

import gc
import itertools
import os
import sys
import types

import pytest

# Some wheels bring a package of this name, ultralytics 8.4.0 for one. pytest would import it as
# the parent of our test modules, and ultralytics with it before its folder is set.
sys.modules.setdefault("tests", types.ModuleType("tests"))


#: After so many tests all garbage is searched for. Python alone does it much more often, and each
#: time looks at all modules, 0.3 s.
TESTS_BETWEEN_SEARCHES = 500
_tests_done = itertools.count(1)


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of every search for garbage."""
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)


def pytest_runtest_logfinish() -> None:
    """Search for garbage now and then, and keep what is left out of later searches."""
    if next(_tests_done) % TESTS_BETWEEN_SEARCHES == 0:
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """Leave nothing behind: libraries that count their objects at the end would report leaks."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def settings_folder_of_ultralytics(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let ultralytics, which writes its settings wherever it is imported, do so for the tests.

    This holds for every test, for processes that tests start, and where the user has set a folder.
    """
    # Not put back: what runs when the process ends may write settings too.
    os.environ["YOLO_CONFIG_DIR"] = str(tmp_path_factory.mktemp("ultralytics"))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Let every test start with the same numbers of torch's global generators."""
    import torch  # not above: the process that hands tests to workers needs no torch

    if torch.cuda.is_available():
        torch.manual_seed(0)
    else:  # it notes the whole stack for each device that is not there
        torch.default_generator.manual_seed(0)


@pytest.fixture
def quick_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let large networks be built with weights that repeat a block of random numbers."""
    from quick_numbers import repeat_random_numbers

    repeat_random_numbers(monkeypatch)
